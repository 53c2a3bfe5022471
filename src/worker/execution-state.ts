/**
 * States of a run that this process executes, and the events that move the run between them.
 *
 * | state         | meaning |
 * |---------------|---------|
 * | `listening`   | Nothing begins before the inbox has been read: a request to cancel or pause |
 * |               | may wait there. Replay continues. |
 * | `running`     | The code is active. |
 * | `idle`        | The code only waits. A timer suspends the run. |
 * | `pausing`     | An operator wants the run to pause. Nothing begins; active bodies finish. |
 * | `handingOver` | The run is to continue elsewhere. Nothing begins; active bodies finish. |
 * | `leaving`     | The journal has the suspension or pause, which fails if a message arrived. |
 * | `left`        | The pass is closed. The journal may still have the last change of the run. |
 *
 * Each cell names the next state; `-` means that the event changes nothing, `noted` that the event
 * takes effect once the run stays after all.
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
 * (1) `handingOver` once a result was recorded in this process and a handover is wanted.
 * (2) `left` if the code ended meanwhile; `listening` if a pause is requested, until the inbox says
 * whether the request still stands; otherwise `running`. Wherever the table says `running`, a
 * wanted handover leads to `handingOver` instead, as in (1).
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
