import type { EntityManager } from 'typeorm';

import type { DispatchKey, OwnedRun } from '../core/run.js';
import type { LogFields } from '../core/log-fields.js';
import type { RetentionConfiguration } from '../core/retention.js';
import type { RunNotices } from '../core/run-notices.js';
import type { HookSchemas } from '../core/hook-schemas.js';
import type { DurableMetrics } from '../core/metrics/durable-metrics.js';
import type { Payloads } from '../core/payloads.js';
import type { Database } from '../store/database.js';
import type { ReadReplica } from '../store/read-replica.js';
import type { Journal } from '../store/journal.js';
import type { RunNotifier } from '../store/run-notifier.js';
import type { AmbientManager } from './transactions/caller-transactions.js';
import type { DeadLetterStore } from './dead-letters.js';
import type { KnownDirectConnection, KnownWorker } from './queries/health.js';
import type { MetricsReader } from './queries/metrics-reader.js';
import type { ResultHub } from './result-hub.js';
import type { StreamHub } from './streams/stream-hub.js';

/** Parts of the module that a client uses. */
export interface ClientDependencies extends RunNotices {
  readonly database: Database;
  /** Executes `work` in a transaction of the module, in which runs can be started. */
  transaction<T>(work: (manager: EntityManager) => Promise<T>): Promise<T>;
  /** Hot standby that answers queries. Undefined when the module has none. */
  readonly replica: ReadReplica | undefined;
  readonly journal: Journal;
  readonly hub: ResultHub;
  readonly streams: StreamHub;
  readonly payloads: Payloads;
  readonly metrics: DurableMetrics;
  readonly metricsReader: MetricsReader;
  readonly deploymentId: string;
  /** Name of the module. Undefined when the module has no name. */
  readonly module: string | undefined;
  /**
   * Milliseconds that a run may take when its workflow sets no timeout. Null when there is no
   * limit.
   */
  readonly runTimeoutMs: number | null;
  /** Schemas of the hooks that runs of this process have created. */
  readonly hookSchemas: HookSchemas;
  readonly currentTransaction: AmbientManager | undefined;
  /**
   * Admits a run that is about to be created to this process's worker. Returns undefined when there
   * is no worker, or when the worker admits no further run.
   */
  reserve(key: DispatchKey): { execute(run: OwnedRun): void; release(): void } | undefined;
  /** Admits runs of a queue whose limits have changed. Resolves after one try. */
  admit(queue: string): Promise<void>;
  /** Notifies runs of messages in their inboxes. */
  readonly notifier: RunNotifier;
  /**
   * Access to messages that the transport has failed to deliver. Undefined when the transport keeps
   * no such messages.
   */
  readonly deadLetters: DeadLetterStore | undefined;
  /** Returns the state of the direct connection. Undefined when the module does not use one. */
  direct(): KnownDirectConnection | undefined;
  /** Returns the state of this process's worker. */
  worker(): KnownWorker;
  /** Returns the current time of the database's clock, in milliseconds since 1970. */
  now(): number;
  /** Returns the class of a workflow; undefined when this process does not have the class. */
  workflowClass(name: string): Function | undefined;
  /**
   * Announces the next time at which a schedule needs attention, in milliseconds since 1970 by the
   * database's clock.
   */
  scheduled(at: number): void;
  readonly retention: RetentionConfiguration;
  /** Tells the dispatchers of all processes that an event has become durable. */
  emitted(): void;
  /** Writes a line to the application's log. */
  log(message: string, fields: LogFields): void;
}
