import type { NewRun, OwnedRun } from '../core/run.js';
import type { Committed, Transition } from '../core/transition.js';
import type { AttemptFailure, EngineSettings, NewHook, PassOutcome } from '../engine/ports.js';
import type { KnownHistory } from './history-cache.js';

/**
 * The worker as one of its executions sees it.
 *
 * @typeParam Execution the execution itself; a parameter, so that this file does not import it
 */
export interface ExecutionDelegate<Execution> {
  readonly settings: EngineSettings;
  readonly suspendAfterMs: number;
  readonly deploymentId: string;
  /** What becomes of a run whose history the code does not fit. */
  readonly onMismatch: 'block' | 'fail';
  submit(transition: Transition, done: (committed: Committed) => void, failed: (error: Error) => void): void;
  /** The run needs a slot, or no longer does. */
  slotWanted(execution: Execution, wanted: 'yes' | 'no'): void;
  /** The run is due for whoever takes it. */
  handedBack(execution: Execution): void;
  /** The run has left this process's hands; with an outcome when it has ended. */
  released(execution: Execution, outcome: PassOutcome | undefined): void;
  suspended(execution: Execution, wakeAt: number): void;
  /** The run has been suspended, and this is its history. */
  remember(history: KnownHistory): void;
  /** The run has room for more messages, or waits for one that was left in the table. */
  readMore(execution: Execution): void;
  /** Something came for the run while it was being suspended. */
  moved(execution: Execution): void;
  /** A run has been created that somebody may execute. */
  started(run: NewRun): void;
  /** Messages for these runs are durable; they have not been told. */
  sent(runIds: readonly string[]): void;
  /** A request to cancel this run is durable; it has not been told. */
  cancelSent(runId: string, parentId: string): void;
  startDetached(run: NewRun): Promise<'started' | 'taken'>;
  createHook(run: OwnedRun, hook: NewHook): Promise<{ token: string; owner?: string }>;
  warn(execution: Execution, message: string): void;
  attemptFailed(execution: Execution, failure: AttemptFailure): void;
  /** The run must be executed anew from what is stored. */
  restart(execution: Execution): void;
  blocked(runId: string, error: Error): void;
  /** The row of the run takes no change, not even that the run is blocked. */
  unwritable(execution: Execution, error: Error): void;
}
