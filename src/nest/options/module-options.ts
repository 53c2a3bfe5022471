import type { EntityManager } from 'typeorm';

import type { ConfiguredDuration } from '../../core/duration.js';
import type { PayloadCodec } from '../../core/payloads.js';
import type { QueueOptions, StepLimitOptions } from '../../core/queue-limits.js';
import type { RunEventName } from '../../core/run-events.js';
import type { RetentionOptions } from '../../core/retention.js';
import type { RetryOptions } from '../../core/retry-policy.js';
import type { ConnectionOptions, RunInTransaction, StepEnhancer } from '../../host/settings.js';
import type { HttpOptions } from './http-options.js';
import type { QStashOptions } from './qstash-options.js';

export type { ConnectionOptions, ModuleSettings, RunInTransaction, StepEnhancer, WorkerSettings } from '../../host/settings.js';

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
   * Number of runs that execute step bodies at the same time, from 1 to 10,000. Runs that only wait
   * do not count, and neither do runs whose result is being written to the database. So the worker
   * holds more runs than this while bodies are short: up to 20 times as many, and up to 2,000.
   * (default: 50)
   */
  concurrency?: number;
  /**
   * Shortest pause between two polls for due runs, in milliseconds or as a duration. (default:
   * `'100ms'`)
   */
  pollInterval?: ConfiguredDuration;
  /**
   * Longest pause between two polls for due runs, in milliseconds or as a duration. The pause grows
   * to this length while no run is due. (default: `'1s'`)
   */
  maxPollInterval?: ConfiguredDuration;
  /**
   * Time without a heartbeat after which other workers continue this process's runs, in
   * milliseconds or as a duration; at least 2 s. With a direct connection, other workers detect a
   * crash within about a second. (default: `'30s'`)
   */
  sessionTtl?: ConfiguredDuration;
  /**
   * Time after which a run that only waits is suspended (removed from memory), in milliseconds or
   * as a duration. (default: `'1s'`; `'100ms'` with `transport: 'qstash'`)
   */
  suspendAfter?: ConfiguredDuration;
  /**
   * Time within which running step bodies must finish when the application closes, in milliseconds
   * or as a duration. (default: `'20s'`)
   */
  shutdownTimeout?: ConfiguredDuration;
  /**
   * Executes a run directly in the process that starts it, without a query that claims the run, if
   * the process has capacity. (default: `true`)
   */
  eagerStart?: boolean;
  /**
   * After a run has ended, executes its workflow function a second time with the recorded results,
   * and compares the two executions. The check executes no step bodies. A run whose second
   * execution differs fails with ReplayDifferenceError. (default: `'auto'`, which checks unless
   * NODE_ENV is `production`)
   */
  verifyReplay?: 'auto' | 'always' | 'never';
  /**
   * Decides what happens to a run whose recorded history does not fit the workflow's code.
   * `'block'` keeps the run waiting for a deployment whose code fits; `'fail'` fails the run with
   * NonDeterminismError. With `'block'` in a test, `result()` waits for a run although no process
   * can execute it (docs/testing.md). (default: `'auto'`, which is `'fail'` when NODE_ENV is
   * `test`, else `'block'`)
   */
  onMismatch?: 'auto' | 'block' | 'fail';
}

/** Options of the module that a factory may also return. */
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
   * Identifies the deployment. A run whose history does not fit the deployed code waits for another
   * deployment. (default: `DEPLOYMENT_ID` from the environment; if that is not set, derived from
   * the application's code)
   */
  deploymentId?: string;
  /**
   * Name of the environment whose runs this process executes, such as `'production'`. The database
   * records the name, and processes of another environment do not execute its runs. (default:
   * `DURABLE_ENVIRONMENT` from the environment; if that is not set, a copy of a database is
   * recognized by the identifiers of its server and database)
   */
  environment?: string;
  /**
   * Logs a line for each failed attempt and step (warn) and for each failed run (error), at most
   * 100 lines in ten seconds. With `payloads.codec` the lines contain the names and codes of
   * errors, but not their messages. (default: `true`)
   */
  logFailures?: boolean;
  /**
   * Decides whether this process executes runs. With `false`, it only starts runs. With an object,
   * it executes runs from the boot on. `DURABLE_WORKER=off` in the environment takes precedence
   * over this option. (default: it executes runs after the application has begun to listen for HTTP
   * requests, so scripts and REPLs execute none)
   */
  worker?: false | WorkerOptions;
  /**
   * Decides how processes learn that runs are due. `'poll'`: workers poll the database, and notify
   * each other. `'qstash'`: Upstash QStash calls this application for each due run, and the process
   * does nothing between these requests. `'both'`: workers poll, and QStash calls the application
   * too. (default: `'poll'`)
   */
  transport?: 'poll' | 'qstash' | 'both';
  /**
   * Options of QStash, for `transport: 'qstash'` and `'both'`. (default: taken from the
   * environment)
   */
  qstash?: QStashOptions;
  /**
   * Pooler through which the module connects: `'transaction'` for PgBouncer in transaction mode and
   * similar poolers. The module then uses no feature that outlives a transaction: no startup
   * options, no named statements, no LISTEN. (default: none, a connection to the server itself)
   */
  pooler?: 'transaction';
  /**
   * Keeps one direct connection open for LISTEN/NOTIFY and for a lock that shows other processes
   * that this process is alive. `{ url }` connects to that address instead of the pooler. (default:
   * `true`; `false` with `pooler` or with `transport: 'qstash'`)
   */
  listen?: boolean | { url: string };
  /**
   * Hot standby of the database that answers queries in place of the primary: `list`, `count`,
   * `failures`, `history`, `describe`, `steps` and `streams` of the client. Their answers may lag.
   * Starts, messages, results, `status` and the worker always use the primary. While the standby is
   * away, the primary answers. Parts that the URL leaves out, such as the user, are those of the
   * primary's address. (default: none; the primary answers all queries)
   */
  readReplica?: { url: string };
  /**
   * Kinds of Nest enhancers that are applied to the bodies of methods with `@Step`. Enhancers may
   * stand on the method or its class, or be global. Global enhancers must expect the context type
   * `'workflow'`. (default: none)
   */
  enhancers?: StepEnhancer[];
  /**
   * Returns the transaction of the calling code, for libraries that keep the transaction in the
   * asynchronous context. A start of a run then joins this transaction even without a `manager`.
   * The function is called at each start that has no `manager`. When there is no transaction, the
   * function returns `undefined`, or a manager without an open transaction. (default: none)
   *
   * @example currentTransaction: () => transactionHost.tx // nestjs-cls
   */
  currentTransaction?: () => EntityManager | undefined;
  /**
   * Executes `work` in a new transaction of the library that keeps the transaction. The bodies of
   * transactional steps are then executed in this transaction, and repositories that the library
   * manages join the transaction by themselves. Needs `currentTransaction`. (default: the module
   * opens the transaction)
   *
   * @example
   * runInTransaction: (work, isolation) => // nestjs-cls
   *   isolation
   *     ? host.withTransaction({ isolationLevel: isolation }, work)
   *     : host.withTransaction(work),
   */
  runInTransaction?: RunInTransaction;
  /**
   * Time after which ended runs are deleted, with everything that belongs to them. `@Workflow({
   * retention })` takes precedence for its workflow. A run with the tag `keep: 'true'` is kept. See
   * "Retention and deletion" in docs/operations.md. (default: ended runs are kept)
   */
  retention?: RetentionOptions<ConfiguredDuration>;
  /**
   * Limits of queues, by name. They hold over all processes. `client.queues.configure` replaces
   * them at run time. See docs/queues.md. (default: no limits)
   */
  queues?: Record<string, QueueOptions>;
  /**
   * Limits of steps, by name. A step names its limit with `limit`. See docs/queues.md. (default: no
   * limits)
   */
  limits?: Record<string, StepLimitOptions>;
  /** Options of events. See docs/events.md. (default: see each option) */
  events?: {
    /**
     * Time for which events are kept, in milliseconds or as a duration. A wait that opens later can
     * receive an event for as long. An event that was not dispatched is kept. (default: `'7d'`)
     */
    retention?: ConfiguredDuration;
    /**
     * Run events that the module also emits as events of the same name, with the run's id as their
     * key. Their payload is the argument of a listener with `@OnRunEvent`. (default: none)
     */
    runEvents?: readonly RunEventName[];
  };
  /** Options of streams. See docs/streams.md. (default: see each option) */
  streams?: {
    /**
     * Time after which the chunks of ended runs are removed, earlier than the runs. The time counts
     * from the end of the run. Readers then get StreamExpiredError. A run with the tag `keep:
     * 'true'` keeps its chunks. (default: chunks are kept until their run is deleted)
     */
    retention?: RetentionOptions<ConfiguredDuration>;
  };
  /** Defaults for workflows and steps that set no value of their own. (default: see each option) */
  defaults?: {
    /**
     * Retry policy of steps when neither the step nor its workflow has one. (default: 3 attempts, 1
     * s before the first retry, doubling up to 1 min, with jitter)
     */
    retry?: RetryOptions;
    /**
     * Longest time that one attempt of a step may take, in milliseconds or as a duration. With
     * `transport: 'qstash'`, the limit is at most `qstash.deliveryTimeout` minus 3 s. (default:
     * `'5m'`; 30 s for a call of a durable listener)
     */
    stepTimeout?: ConfiguredDuration;
    /**
     * Longest time that a run may take when its workflow has no `timeout`, in milliseconds or as a
     * duration. (default: no limit)
     */
    runTimeout?: ConfiguredDuration;
    /**
     * Maximum size of an input or output, in bytes of JSON, from 1,024 to 268,435,456 (256 MiB).
     * Errors are not refused but shortened to about 256 KiB. (default: 4,194,304, which is 4 MiB)
     */
    maxPayloadBytes?: number;
  };
  /**
   * Treatment of inputs, outputs, errors and messages before they are stored. (default: no codec)
   */
  payloads?: {
    /**
     * Encrypts or compresses inputs, outputs, errors and messages before they are stored. (default:
     * none; they are stored as plain JSON)
     */
    codec?: PayloadCodec;
  };
}
