import { setImmediate } from '../core/timers.js';

/** A lane that delivers results to one pass, one per turn. */
export interface TurnTaker {
  /** Delivers one result; the code that it lets go on runs in microtasks right after. */
  beginTurn(): void;
  /** The code has nothing more to do but wait. */
  endTurn(): void;
}

/**
 * Gives every lane that asked a turn, all in one round of the event loop. Both halves are queued before either runs, so Node executes them
 * back to back with nothing but microtasks (and process.nextTick) in between: a call made inside a turn follows from the delivery, and
 * one made outside comes out of ordinary I/O. Replay depends on that distinction.
 */
class TurnScheduler {
  private waiting: TurnTaker[] = [];
  private taking: TurnTaker[] = [];
  private scheduled = false;

  request(lane: TurnTaker): void {
    this.waiting.push(lane);
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

/** One pass's trouble must not cost the others their turn: it is reported where Node reports what nobody caught. */
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
