import type { Journal } from '../store/journal.js';
import type { PassOutcome } from '../engine/ports.js';
import type { HistoryCache } from './history-cache.js';
import type { InboxReader } from './inbox-reader.js';
import type { RunEffects } from './run-effects.js';
import type { RunLog } from './run-log.js';
import type { WorkerEvents, WorkerOptions } from './worker-types.js';

/** Services of the worker that all executions of runs share. */
export interface ExecutionServices {
  readonly options: Pick<WorkerOptions, 'suspendAfterMs' | 'deploymentId' | 'onMismatch' | 'engine' | 'metrics' | 'transactions'>;
  readonly journal: Journal;
  readonly effects: RunEffects;
  readonly inboxes: InboxReader;
  readonly histories: HistoryCache;
  readonly events: WorkerEvents;
  readonly log: RunLog;
}

/**
 * The owner of an execution: keeps the list of active runs.
 *
 * @typeParam Execution the class of the execution; a parameter, so that this file need not import
 *   the class
 */
export interface ExecutionDelegate<Execution> {
  /**
   * Called when this process no longer owns the run. `outcome` is undefined unless the run has
   * ended.
   */
  released(execution: Execution, outcome: PassOutcome | undefined): void;
  /** Called when the run is due again and any worker may claim it. */
  handedBack(execution: Execution): void;
  /** Called when the run must be executed again from its stored history. */
  restart(execution: Execution): void;
}
