import type { EntityManager } from 'typeorm';

import type { ConfiguredDuration } from '../core/duration.js';
import type { PayloadCodec } from '../core/payloads.js';
import type { RetryOptions } from '../core/retry-policy.js';
import type { ConnectionOptions, StepEnhancer } from '../host/settings.js';
import type { HttpOptions } from './http-options.js';
import type { QStashOptions } from './qstash-options.js';

export type { ConnectionOptions, ModuleSettings, StepEnhancer, WorkerSettings } from '../host/settings.js';

/** Options that are fixed when the module is defined. */
export interface WorkflowModuleExtras {
  /**
   * Name that distinguishes several modules of one application. One module may have no name.
   * (default: none)
   */
  name?: string;
  /** True when the client and the repositories can be injected everywhere. (default: `true`) */
  isGlobal?: boolean;
  /**
   * Name of the application's TypeORM DataSource whose settings are used. (default: the DataSource
   * without a name)
   */
  dataSource?: string;
  /** Endpoints that other systems call over HTTP. (default: none) */
  http?: HttpOptions;
}

/** Options for executing runs in this process. */
export interface WorkerOptions {
  /**
   * Queues from which runs are claimed. (default: `'default'` and the queues of the registered
   * workflows)
   */
  queues?: string[];
  /**
   * Number of runs that are executed at the same time. Runs that only wait do not count. From 1 to
   * 10,000. (default: 50)
   */
  concurrency?: number;
  /**
   * Shortest pause between two polls for due runs, in milliseconds or as a duration. (default: 100
   * ms)
   */
  pollInterval?: ConfiguredDuration;
  /**
   * Longest pause between two polls for due runs, in milliseconds or as a duration. The pause grows
   * to this length while no run is due. (default: 1 s)
   */
  maxPollInterval?: ConfiguredDuration;
  /**
   * Time without a heartbeat after which other workers take this process's runs over, in
   * milliseconds or as a duration; at least 2 s. With a direct connection, other workers detect a
   * crash within about a second. (default: `'30s'`)
   */
  sessionTtl?: ConfiguredDuration;
  /**
   * Time after which a run that only waits is suspended (removed from memory), in milliseconds or
   * as a duration. (default: `'1s'`; 100 ms with `transport: 'qstash'`)
   */
  suspendAfter?: ConfiguredDuration;
  /**
   * Time that step bodies have to finish when the application closes, in milliseconds or as a
   * duration. (default: `'20s'`)
   */
  shutdownTimeout?: ConfiguredDuration;
  /**
   * Executes the runs that this process starts without a claim, so that they skip one query.
   * (default: `true`)
   */
  eagerStart?: boolean;
  /**
   * Executes the code of a run once more when the run has ended, from its recorded results, and
   * compares the two passes. No step body is executed for this check. A run whose second pass
   * differs fails with ReplayDifferenceError. (default: `'auto'`, which checks unless NODE_ENV is
   * `production`)
   */
  verifyReplay?: 'auto' | 'always' | 'never';
  /**
   * Decides what happens to a run whose history the code does not fit. `'block'` keeps the run
   * waiting for a deployment that fits; `'fail'` fails the run with NonDeterminismError. With
   * `'block'`, `result()` of a run that no process can execute waits in tests too
   * (docs/testing.md). (default: `'auto'`, which is `'fail'` when NODE_ENV is `test`, else
   * `'block'`)
   */
  onMismatch?: 'auto' | 'block' | 'fail';
}

export interface WorkflowModuleOptions {
  /**
   * Database that holds the runs. (default: the settings of the application's DataSource; without a
   * DataSource, `DATABASE_URL` from the environment)
   */
  connection?: ConnectionOptions;
  /** Schema of the module's tables. (default: `'durable'`) */
  schema?: string;
  /**
   * Creates and updates the tables when the application boots. With `false`, the boot fails when
   * the schema is missing or old. (default: `true`)
   */
  autoMigrate?: boolean;
  /**
   * Identifies the deployment. A run whose history the deployed code does not fit waits for another
   * deployment. (default: `DEPLOYMENT_ID` from the environment; without it, derived from the
   * application's code)
   */
  deploymentId?: string;
  /**
   * Name of the environment whose runs this process executes, such as `'production'`. The database
   * remembers the name, and processes of another environment execute nothing there. (default:
   * `DURABLE_ENVIRONMENT` from the environment; without it, a copy of a database is recognized by
   * the server and database that it is on)
   */
  environment?: string;
  /**
   * Logs a line for each failed attempt and step (warn) and for each failed run (error), at most
   * 100 lines in ten seconds. With `payloads.codec` the lines contain the names and codes of
   * errors, but not their messages. (default: `true`)
   */
  logFailures?: boolean;
  /**
   * Executes runs in this process. `false`: the process only starts runs. An object: the process
   * executes runs from the boot on. `DURABLE_WORKER=off` in the environment wins over this option.
   * (default: the process executes runs once the application listens for HTTP requests, so scripts
   * and REPLs execute none)
   */
  worker?: false | WorkerOptions;
  /**
   * Decides how processes learn that runs are due. `'poll'`: workers poll the database, and notify
   * each other. `'qstash'`: Upstash QStash calls this application, no process polls, and nothing
   * runs between requests. `'both'`: workers poll, and QStash calls the application too. (default:
   * `'poll'`)
   */
  transport?: 'poll' | 'qstash' | 'both';
  /**
   * Options of QStash, for `transport: 'qstash'` and `'both'`. (default: taken from the
   * environment)
   */
  qstash?: QStashOptions;
  /**
   * Pooler through which the connection goes: `'transaction'` for PgBouncer in transaction mode and
   * similar poolers. The module then uses nothing that outlives a transaction: no startup options,
   * no named statements, no LISTEN. (default: none, a connection to the server itself)
   */
  pooler?: 'transaction';
  /**
   * Keeps one direct connection for LISTEN/NOTIFY and for the lock that shows that the process
   * lives. `{ url }` connects to that address, past the pooler. (default: `true`; `false` with
   * `pooler` or with `transport: 'qstash'`)
   */
  listen?: boolean | { url: string };
  /**
   * Guards and interceptors of Nest to apply to the bodies of methods with `@Step`: those on the
   * method, on its class, and the application's global ones. Global ones must then expect the
   * context type `'workflow'`. (default: none)
   */
  enhancers?: StepEnhancer[];
  /**
   * Returns the transaction that the calling code is in, for libraries that keep the transaction in
   * the asynchronous context. Starts then join the transaction without a `manager`. The function is
   * called at each start that has no `manager`. It returns `undefined`, or a manager without an
   * open transaction, when there is no transaction. (default: none)
   *
   * @example currentTransaction: () => transactionHost.tx // nestjs-cls
   */
  currentTransaction?: () => EntityManager | undefined;
  defaults?: {
    /**
     * Retry policy of steps whose workflow has none. (default: 3 attempts, 1 s before the first
     * retry, doubling up to 1 min, with jitter)
     */
    retry?: RetryOptions;
    /**
     * Limit of one attempt of a step, in milliseconds or as a duration. With `transport: 'qstash'`
     * every limit is at most `qstash.deliveryTimeout` minus 3 s. (default: 5 minutes)
     */
    stepTimeout?: ConfiguredDuration;
    /**
     * Time that a run may take when its workflow has no `timeout`, in milliseconds or as a
     * duration. (default: no limit)
     */
    runTimeout?: ConfiguredDuration;
    /**
     * Largest input or output, in bytes of JSON, from 1,024 to 256 MiB. Errors are cut to about 256
     * KiB instead. (default: 4 MiB)
     */
    maxPayloadBytes?: number;
  };
  payloads?: {
    /**
     * Encrypts or compresses inputs, outputs and errors before they are stored. (default: they are
     * stored as plain JSON)
     */
    codec?: PayloadCodec;
  };
}
