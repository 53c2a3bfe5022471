import { setImmediate } from '../core/timers.js';

/** Delivers results to one pass, one per turn. */
export interface TurnTaker {
  /** Delivers one result. The code that awaits it runs in microtasks right after. */
  beginTurn(): void;
  /** Ends the turn, after the code has run until it waits for something. */
  endTurn(): void;
}

/**
 * Gives every queue that requested it a turn, all in one round of the event loop.
 *
 * Both halves of a turn are queued before either runs. So Node executes them back to back, with
 * nothing but microtasks and `process.nextTick` in between. A call made inside a turn follows from
 * the delivery, and a call outside follows from ordinary I/O. Replay depends on that distinction.
 */
class TurnScheduler {
  private waiting: TurnTaker[] = [];
  private taking: TurnTaker[] = [];
  private scheduled = false;

  request(queue: TurnTaker): void {
    this.waiting.push(queue);
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      this.taking = this.waiting;
      this.waiting = [];
      for (const taker of this.taking) isolated(taker, 'beginTurn');
    });
    setImmediate(() => {
      const takers = this.taking;
      this.taking = [];
      for (const taker of takers) isolated(taker, 'endTurn');
    });
  }
}

/**
 * Runs half a turn. An error in one pass must not cost the other passes their turn, so it is thrown
 * where Node reports uncaught errors.
 */
function isolated(taker: TurnTaker, half: keyof TurnTaker): void {
  try {
    taker[half]();
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}

export const turns = new TurnScheduler();
