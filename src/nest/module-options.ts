import type { EntityManager } from 'typeorm';

import type { ConfiguredDuration } from '../core/duration.js';
import type { PayloadCodec } from '../core/payloads.js';
import type { RetryOptions } from '../core/retry-policy.js';
import type { ConnectionOptions, StepEnhancer } from '../host/settings.js';
import type { HttpOptions } from './http-options.js';
import type { QStashOptions } from './qstash-options.js';

export type { ConnectionOptions, ModuleSettings, StepEnhancer, WorkerSettings } from '../host/settings.js';

/** What is fixed when the module is defined. */
export interface WorkflowModuleExtras {
  /** Tells several modules of one application apart. Default: none. One module may be without. */
  name?: string;
  /** Whether the client and the repositories can be injected everywhere. Default true. */
  isGlobal?: boolean;
  /** The name of the application's TypeORM DataSource whose settings are used. Default: the default one. */
  dataSource?: string;
  /** Endpoints for the outside world. Default: none. */
  http?: HttpOptions;
}

/** How this process executes runs. */
export interface WorkerOptions {
  /** The queues to take runs from. Default: `'default'` and those of the registered workflows. */
  queues?: string[];
  /** How many runs are executed at a time; runs that only wait do not count. Default 50. */
  concurrency?: number;
  /** The shortest pause between two looks for due runs, in milliseconds or as a duration. Default 100 ms. */
  pollInterval?: ConfiguredDuration;
  /** The longest such pause, reached while nothing happens. Default 1 s. */
  maxPollInterval?: ConfiguredDuration;
  /** After how long without a sign of life others take this process's runs over, where no direct connection tells sooner. Default `'30s'`, at least 2 s. */
  sessionTtl?: ConfiguredDuration;
  /** A run is let go of when nothing of it has been active for so long. Default `'1s'`. */
  suspendAfter?: ConfiguredDuration;
  /** How long step bodies may go on when the application closes. Default `'20s'`. */
  shutdownTimeout?: ConfiguredDuration;
  /** Whether this process executes the runs that it starts itself without asking the database for them. Default true. */
  eagerStart?: boolean;
  /**
   * When the code of a run is executed once more at its end, from what is recorded, to see whether it does the same: no step's body is executed for it. A run that
   * differs fails with ReplayDifferenceError. Default `'auto'`: unless NODE_ENV is `production`.
   */
  verifyReplay?: 'auto' | 'always' | 'never';
  /**
   * What becomes of a run whose history the code does not fit: `'block'` has it wait for a deployment that fits, `'fail'` has it fail with NonDeterminismError. Default
   * `'auto'`: `'fail'` where NODE_ENV is `test`, else `'block'`. With `'block'`, results of runs that
   * no process can execute are waited for under tests too (docs/testing.md).
   */
  onMismatch?: 'auto' | 'block' | 'fail';
}

export interface WorkflowModuleOptions {
  /** Default: the settings of the application's DataSource; without one, the environment's `DATABASE_URL`. */
  connection?: ConnectionOptions;
  /** The schema of the module's tables. Default `durable`. */
  schema?: string;
  /** Create and update the tables when the application boots. Default true. With false, a missing or old schema is a boot error. */
  autoMigrate?: boolean;
  /** Tells deployments apart: a run that today's code does not fit waits for another. Default: the environment's `DEPLOYMENT_ID`, else derived from the code. */
  deploymentId?: string;
  /**
   * Names the environment whose runs this process executes, such as `'production'`. The database
   * remembers it, and processes of another environment execute nothing there. Default: the
   * environment's `DURABLE_ENVIRONMENT`; without one, a copy is told by where the database is.
   */
  environment?: string;
  /**
   * Log a line for each failed attempt and step (warn) and each failed run (error), at most 100 in ten seconds. With `payloads.codec` the lines have names and codes of errors and not
   * their messages. Default true.
   */
  logFailures?: boolean;
  /**
   * Execute runs in this process. `false`: only start them. Absent: when the application listens for HTTP requests, and not in scripts or REPLs.
   * The environment's `DURABLE_WORKER=off` wins.
   */
  worker?: false | WorkerOptions;
  /**
   * How processes learn that runs are due: `'poll'`: workers look, and tell each other; `'qstash'`: Upstash QStash calls this application, nothing polls, and nothing runs between
   * requests; `'both'`. Default `'poll'`.
   */
  transport?: 'poll' | 'qstash' | 'both';
  /** For `transport: 'qstash'` and `'both'`. */
  qstash?: QStashOptions;
  /**
   * What the connection goes through: `'transaction'` for PgBouncer in transaction mode and poolers like it. Then nothing is used that outlives a
   * transaction: no startup options, no named statements, no LISTEN. Default: nothing, a connection to the server itself.
   */
  pooler?: 'transaction';
  /**
   * Keep one direct connection for LISTEN/NOTIFY and for the lock that shows that the process lives.
   * `{ url }` connects to that address, past the pooler. Default: true, but false with `pooler` or
   * with `transport: 'qstash'`.
   */
  listen?: boolean | { url: string };
  /**
   * Apply these to the bodies of methods with `@Step`: those of the method, of its class, and the application's global ones, which must then expect
   * the context type `'workflow'`. Default: none.
   */
  enhancers?: StepEnhancer[];
  /**
   * Finds the transaction that the calling code is in, for libraries that keep it in the asynchronous context: starts join it without being told.
   * Called at each start that has no `manager`. `undefined`, or a manager without an open transaction: there is none.
   *
   * @example currentTransaction: () => transactionHost.tx // nestjs-cls
   */
  currentTransaction?: () => EntityManager | undefined;
  defaults?: {
    /** The retry policy of steps whose workflow has none. */
    retry?: RetryOptions;
    /** The limit of one attempt of a step. Default 5 minutes; with `transport: 'qstash'` at most what a request leaves: `qstash.deliveryTimeout` less 3 s. */
    stepTimeout?: ConfiguredDuration;
    /** How long runs may take whose workflow has no `timeout`. Default: as long as they like. */
    runTimeout?: ConfiguredDuration;
    /** The largest input or output, in bytes of JSON; errors are cut to about 256 KiB. Default 4 MiB. */
    maxPayloadBytes?: number;
  };
  payloads?: {
    /** Encrypts or compresses inputs, outputs and errors on their way into the database. Default: they are plain JSON. */
    codec?: PayloadCodec;
  };
}
