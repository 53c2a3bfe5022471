import { performance } from 'node:perf_hooks';

import { sleep } from '../core/timers.js';
import { faultOf } from './database-errors.js';

const MIN_PAUSE_MS = 3;
const MAX_PAUSE_MS = 1_000;
/** Milliseconds for which a call waits for a locked row. */
const MAX_WAIT_MS = 10_000;

/**
 * Returns the pause before a locked row is tried again: a quarter of the time since the first try.
 * So a briefly locked row is tried again soon, and a row that stays locked is tried less and less
 * often.
 */
export function pauseAfter(elapsedMs: number): number {
  return Math.min(Math.max(elapsedMs / 4, MIN_PAUSE_MS), MAX_PAUSE_MS);
}

/** Calls of this process that change the row of one run, in order of arrival. */
interface LockQueue {
  last: Promise<unknown>;
  length: number;
  /**
   * `since`: the time of the first try that found the row locked, from performance.now(). `error`:
   * the error of the last such try.
   */
  locked: { readonly since: number; readonly error: unknown } | undefined;
}

/**
 * Does work that fails at once when the run's row is locked. Repeats it until the row is unlocked.
 */
export type WhileLocked = <T>(work: () => Promise<T>) => Promise<T>;

const ignore = (): void => undefined;

/**
 * Queues the calls that change a run's row. Only the first call in a queue tries the locked row,
 * however many calls wait. Between two tries, the call holds no connection.
 */
export class RowLockQueues {
  private readonly queues = new Map<string, LockQueue>();

  /**
   * Does the work after the earlier calls for the same run have ended.
   *
   * @returns the result of the work
   * @throws the error of the work, or the lock's error when the row stays locked for more than 10 s
   */
  async inTurn<T>(runId: string, work: (whileLocked: WhileLocked) => Promise<T>): Promise<T> {
    const since = performance.now();
    const queue = this.queues.get(runId) ?? { last: Promise.resolve(), length: 0, locked: undefined };
    this.queues.set(runId, queue);
    queue.length++;
    const turn = queue.last.then(() => {
      // The earlier calls have tried the row for as long as this call has waited, so one more try
      // would hardly succeed.
      if (queue.locked && performance.now() - since > MAX_WAIT_MS) throw queue.locked.error;
      return work((once) => tryUntilFree(queue, since, once));
    });
    queue.last = turn.catch(ignore);
    try {
      return await turn;
    } finally {
      if (--queue.length === 0) this.queues.delete(runId);
    }
  }
}

async function tryUntilFree<T>(queue: LockQueue, since: number, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      const result = await work();
      queue.locked = undefined;
      return result;
    } catch (error) {
      const now = performance.now();
      if (!['locked', 'conflict', 'cancelled'].includes(faultOf(error))) {
        queue.locked = undefined;
        throw error;
      }
      queue.locked = { since: queue.locked?.since ?? now, error };
      if (now - since > MAX_WAIT_MS) throw error;
      await sleep(pauseAfter(now - queue.locked.since));
    }
  }
}
