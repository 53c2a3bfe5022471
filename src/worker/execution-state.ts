import { HELD } from '../engine/timers.js';

/**
 * States of a run that this process executes, and the events that move the run between them.
 *
 * | state         | meaning |
 * |---------------|---------|
 * | `listening`   | No step begins before the inbox has been read, because a request to cancel or |
 * |               | pause may be there. Recorded steps are replayed meanwhile. |
 * | `running`     | The workflow's code is active. |
 * | `idle`        | The workflow's code only waits. A timer suspends the run. |
 * | `pausing`     | An operator wants the run to pause. No step begins; active bodies finish. |
 * | `handingOver` | Another process is to continue the run. No step begins; active bodies finish. |
 * | `leaving`     | The suspension or pause is being written; it fails if a message arrived. |
 * | `left`        | The code is stopped here. The last change of the run may not yet be durable. |
 *
 * Each cell of the next table names the state after the event. `-` means that the event changes
 * nothing. `noted` means that the event takes effect only if the suspension or pause fails.
 *
 * | event            | listening | running     | idle        | pausing  | handingOver | leaving   |
 * |------------------|-----------|-------------|-------------|----------|-------------|-----------|
 * | inbox read       | running   | -           | -           | -        | -           | -         |
 * | only waits       | -         | idle        | -           | -        | -           | -         |
 * | active again     | -         | -           | running     | -        | -           | -         |
 * | timer            | -         | -           | leaving     | -        | -           | -         |
 * | pause requested  | pausing   | pausing     | pausing     | -        | pausing     | noted     |
 * | pause withdrawn  | running   | -           | -           | running  | -           | noted     |
 * | hand over        | (1)       | (1)         | (1)         | noted    | -           | noted     |
 * | result durable   | (1)       | (1)         | (1)         | -        | -           | -         |
 * | bodies finished  | -         | -           | -           | leaving  | left        | -         |
 * | change committed | -         | -           | -           | -        | -           | left      |
 * | message arrived  | -         | -           | -           | -        | -           | (2)       |
 * | code ended       | left      | left        | left        | left     | left        | noted     |
 * | abandoned        | left      | left        | left        | left     | left        | left      |
 *
 * (1) `handingOver` if a handover is wanted and this process has recorded a result of the run;
 * otherwise no change.
 *
 * (2) The suspension or pause has failed. If the code ended meanwhile, the next state is `left`. If
 * a pause is requested, the next state is `listening`: a read of the inbox then shows if the
 * request still stands. Otherwise the next state is `running`.
 *
 * A run that would enter `running` enters `handingOver` instead if (1) applies.
 *
 * No event leads out of `left`: a run that returns to this process gets another execution.
 */
export type ExecutionState =
  | { readonly name: 'listening' | 'running' | 'pausing' | 'handingOver' | 'left' }
  | { readonly name: 'idle'; timer: NodeJS.Timeout }
  | {
      readonly name: 'leaving';
      /** True when an operator wants the run to pause. */
      isPauseWanted: boolean;
      /**
       * Ends the run if the suspension fails. Set when the workflow's code ended while the journal
       * was writing the suspension.
       */
      end: (() => void) | undefined;
    };

export const LISTENING: ExecutionState = { name: 'listening' };
export const RUNNING: ExecutionState = { name: 'running' };
export const PAUSING: ExecutionState = { name: 'pausing' };
export const HANDING_OVER: ExecutionState = { name: 'handingOver' };
export const LEFT: ExecutionState = { name: 'left' };

/** Minimum number of milliseconds before an idle run is checked again. */
const LEAST_IDLE_MS = 10;
/** Milliseconds between two checks of a run that must stay in memory. */
const HELD_CHECK_MS = 50;

/**
 * Returns the milliseconds until an idle run is checked again.
 *
 * @param leftMs time until the next timer of the run
 */
export function idleCheckMs(leftMs: number): number {
  return leftMs === HELD ? HELD_CHECK_MS : Math.max(leftMs, LEAST_IDLE_MS);
}
