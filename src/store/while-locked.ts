import { performance } from 'node:perf_hooks';

import { sleep } from '../core/timers.js';
import { faultOf } from './database-errors.js';

const SHORTEST_PAUSE_MS = 3;
const LONGEST_PAUSE_MS = 1_000;
/** How long a call waits for a row that somebody holds. */
const PATIENCE_MS = 10_000;

/** The pause before a locked row is tried again: a quarter of the time since the first try, so that a freed row is found soon however long it was held. */
export function pauseAfter(elapsedMs: number): number {
  return Math.min(Math.max(elapsedMs / 4, SHORTEST_PAUSE_MS), LONGEST_PAUSE_MS);
}

/**
 * Repeats work that fails at once when a row is locked, until the row is free. Between two tries it holds no connection.
 *
 * @throws what the work throws; the error of the lock when the row is held for longer than 10 s
 */
export async function whileLocked<T>(work: () => Promise<T>): Promise<T> {
  const since = performance.now();
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const elapsed = performance.now() - since;
      if (!['locked', 'conflict', 'cancelled'].includes(faultOf(error)) || elapsed > PATIENCE_MS) throw error;
      await sleep(pauseAfter(elapsed));
    }
  }
}
