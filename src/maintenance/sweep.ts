import type { Warn } from '../core/log-fields.js';
import type { DurableMetrics } from '../core/metrics/durable-metrics.js';
import type { Payloads } from '../core/payloads.js';
import type { RetentionConfiguration, RetentionRule } from '../core/retention.js';
import type { DispatchKey } from '../core/run.js';
import type { RunNotices } from '../core/run-notices.js';
import type { Admissions } from '../store/admissions.js';
import type { Database } from '../store/database.js';
import type { RunNotifier } from '../store/run-notifier.js';

/**
 * Work on the database that any process may do for all others. The first process to begin does the
 * work.
 */
export interface Sweep {
  /** Log line for an execution of the sweep that failed. */
  readonly failure: string;
  /** Milliseconds between two sweeps in a process that sweeps continuously. */
  readonly everyMs: number;
  /**
   * Does the work that is due.
   *
   * @param signal aborted when no further work may begin
   * @returns milliseconds until more work is due; undefined when no further work is known
   */
  run(signal: AbortSignal): Promise<number | undefined>;
}

/** Everything that the sweeps of a process need. */
export interface SweepDependencies {
  readonly database: Database;
  readonly payloads: Payloads;
  readonly notifier: RunNotifier;
  readonly admissions: Admissions;
  readonly notices: RunNotices;
  readonly metrics: DurableMetrics;
  /** Undefined when neither the module nor a class has a retention. */
  readonly retention: RetentionConfiguration | undefined;
  /** Undefined when the module has no retention for streams. */
  readonly streamRetention: RetentionRule | undefined;
  readonly deploymentId: string;
  readonly sessionTtlMs: number;
  /** Returns the id of this process's own session, which this process must not take over. */
  readonly ownSession: () => string | undefined;
  /** Returns the workflows that this process claims. */
  readonly served: () => readonly DispatchKey[];
  /** Called with runs that a sweep has made due. No other process has been notified of them. */
  readonly returned: (runIds: readonly string[]) => Promise<void>;
  /** Called when a sweep has found events or waits for events that nobody takes care of. */
  readonly eventWork: (signal: AbortSignal) => Promise<void>;
  /** Milliseconds for which events are kept. */
  readonly eventRetentionMs: number;
  readonly warn: Warn;
}
