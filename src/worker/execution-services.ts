import type { Journal } from '../store/journal.js';
import type { PassOutcome } from '../engine/ports.js';
import type { HistoryCache } from './history-cache.js';
import type { InboxReader } from './inbox-reader.js';
import type { RunEffects } from './run-effects.js';
import type { RunLog } from './run-log.js';
import type { WorkerEvents, WorkerOptions } from './worker-types.js';

/** Services of the worker that all its executions share. */
export interface ExecutionServices {
  readonly options: Pick<WorkerOptions, 'suspendAfterMs' | 'deploymentId' | 'onMismatch' | 'engine'>;
  readonly journal: Journal;
  readonly effects: RunEffects;
  readonly inboxes: InboxReader;
  readonly histories: HistoryCache;
  readonly events: WorkerEvents;
  readonly log: RunLog;
}

/**
 * The owner of an execution: keeps the slots and the list of active runs.
 *
 * @typeParam Execution the execution itself; a parameter, so that this file does not import it
 */
export interface ExecutionDelegate<Execution> {
  /** The run needs a slot, or no longer does. */
  slotWanted(execution: Execution, wanted: 'yes' | 'no'): void;
  /** The run is no longer this process's; `outcome` is its end when it has ended. */
  released(execution: Execution, outcome: PassOutcome | undefined): void;
  /** The run is due again, for any worker that claims it. */
  handedBack(execution: Execution): void;
  /** The run must be executed again from what is stored. */
  restart(execution: Execution): void;
}
