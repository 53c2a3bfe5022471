import type { Payloads } from '../core/payloads.js';
import type { DispatchKey } from '../core/run.js';
import type { RunNotices } from '../core/run-notices.js';
import type { Database } from '../store/database.js';
import type { RunNotifier } from '../store/run-notifier.js';

/** Work that any process may do for all others: whichever process begins first does it. */
export interface Sweep {
  /** Log line for a run of the sweep that failed. */
  readonly failure: string;
  /** Milliseconds between two runs in a process that sweeps all the time. */
  readonly everyMs: number;
  /**
   * Does what is due.
   *
   * @param signal aborted when no further work may begin
   * @returns milliseconds until more is due; undefined when nothing more is known
   */
  run(signal: AbortSignal): Promise<number | undefined>;
}

/** Everything that the sweeps of a process need. */
export interface SweepDependencies {
  readonly database: Database;
  readonly payloads: Payloads;
  readonly notifier: RunNotifier;
  readonly notices: RunNotices;
  readonly deploymentId: string;
  readonly sessionTtlMs: number;
  /** Id of this process's own session, which the process never takes over. */
  readonly ownSession: () => string | undefined;
  /** Workflows that this process claims. */
  readonly served: () => readonly DispatchKey[];
  /** Runs are due again, of which no other process knows. */
  readonly returned: (runIds: readonly string[]) => Promise<void>;
  readonly log: (message: string) => void;
  readonly failed: (message: string, error: unknown) => void;
}
