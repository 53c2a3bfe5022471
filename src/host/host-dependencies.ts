import type { ResultHub } from '../client/result-hub.js';
import type { StreamHub } from '../client/streams/stream-hub.js';
import type { DatabaseClock } from '../core/clock.js';
import type { RunNotices } from '../core/run-notices.js';
import type { LogFields } from '../core/log-fields.js';
import type { HookSchemas } from '../core/hook-schemas.js';
import type { WarningCode } from '../core/warning-codes.js';
import type { DurableMetrics } from '../core/metrics/durable-metrics.js';
import type { Payloads } from '../core/payloads.js';
import type { EngineSettings } from '../engine/ports.js';
import type { RunStarter } from '../engine/run-starter.js';
import type { Admissions } from '../store/admissions.js';
import type { Database } from '../store/database.js';
import type { DirectConnection } from '../store/direct-connection.js';
import type { EventMeetings } from '../store/event-meetings.js';
import type { Journal } from '../store/journal.js';
import type { RunNotifier } from '../store/run-notifier.js';
import type { Notice } from '../store/notifications.js';
import type { FailureLog } from './failure-log.js';
import type { HostLogger } from './host-logger.js';
import type { HostRetention } from './host-retention.js';
import type { ModuleSettings } from './settings.js';
import type { ApplicationTransactions } from './transactions/step-transactions.js';

/** Parts of the runtime that the worker and the client of a process share. */
export interface HostDependencies extends RunNotices {
  readonly settings: ModuleSettings;
  readonly payloads: Payloads;
  /** Counters and histograms of the module in this process. */
  readonly metrics: DurableMetrics;
  readonly database: Database;
  readonly clock: DatabaseClock;
  /** Settings of the engine that a test replaces; undefined outside of tests. */
  readonly engine: Partial<EngineSettings> | undefined;
  /** Transactions of steps on the application's DataSource. */
  readonly transactions: ApplicationTransactions;
  readonly retention: HostRetention;
  readonly journal: Journal;
  readonly notifier: RunNotifier;
  /** Admits runs of queues with limits. */
  readonly admissions: Admissions;
  readonly hub: ResultHub;
  readonly streams: StreamHub;
  readonly direct: DirectConnection | undefined;
  readonly logger: HostLogger;
  /** Logs failed attempts, steps and runs. */
  readonly failures: FailureLog;
  warn(code: WarningCode, message: string, error?: unknown, fields?: LogFields): void;
  error(code: WarningCode, message: string, error: unknown, fields?: LogFields): void;
  /**
   * Announces to QStash the runs that are due again and that no process owns. Does nothing in a
   * module without QStash.
   */
  returned(runIds: readonly string[]): void;
  /** Announces the next time at which a schedule needs attention. */
  scheduled(at: number): void;
  /** Sends a notice to other processes. */
  notify(notice: Notice): void;
  readonly meetings: EventMeetings;
  /** Called when events have become durable, emitted by this process or elsewhere. */
  eventsEmitted(by: 'this process' | 'elsewhere'): void;
  /** Called when a run of this process has begun to wait for an event. */
  eventExpected(): void;
  /** Prepares the runs that workflows start. */
  readonly starts: RunStarter;
  /** Returns the URL that calls a hook. */
  hookUrl(token: string): string;
  readonly hookSchemas: HookSchemas;
}
