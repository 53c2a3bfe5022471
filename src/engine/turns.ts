import { setImmediate } from '../core/timers.js';

/** Delivers results to one pass, one per turn. */
export interface TurnDelegate {
  /**
   * Delivers one result. The code that awaits the result continues in microtasks directly
   * afterwards.
   */
  beginTurn(): void;
  /** Ends the turn. Called when the code has run until it waits again. */
  endTurn(): void;
}

/**
 * Gives a turn to every queue that has requested one, all in one round of the event loop.
 *
 * `beginTurn` and `endTurn` are both queued before either runs. So Node executes them directly one
 * after the other, with only microtasks and `process.nextTick` callbacks in between. A call made
 * during a turn was therefore caused by the delivered result. A call made outside a turn was caused
 * by ordinary I/O. Replay depends on that distinction.
 */
class TurnScheduler {
  private waiting: TurnDelegate[] = [];
  private inTurn: TurnDelegate[] = [];
  private scheduled = false;

  request(queue: TurnDelegate): void {
    this.waiting.push(queue);
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      this.inTurn = this.waiting;
      this.waiting = [];
      for (const delegate of this.inTurn) isolated(delegate, 'beginTurn');
    });
    setImmediate(() => {
      const delegates = this.inTurn;
      this.inTurn = [];
      for (const delegate of delegates) isolated(delegate, 'endTurn');
    });
  }
}

/**
 * Calls `beginTurn` or `endTurn`. An error in one pass must not cost the other passes their turn.
 * So the error is thrown later, where Node reports it as uncaught.
 */
function isolated(delegate: TurnDelegate, half: keyof TurnDelegate): void {
  try {
    delegate[half]();
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}

export const turns = new TurnScheduler();
