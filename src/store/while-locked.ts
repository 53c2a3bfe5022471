import { performance } from 'node:perf_hooks';

import { sleep } from '../core/timers.js';
import { faultOf } from './database-errors.js';

const SHORTEST_PAUSE_MS = 3;
const LONGEST_PAUSE_MS = 1_000;
/** Milliseconds that a call waits for a locked row. */
const PATIENCE_MS = 10_000;

/**
 * Pause before a locked row is tried again: a quarter of the time since the first try. So a freed
 * row is found soon, however long it was locked.
 */
export function pauseAfter(elapsedMs: number): number {
  return Math.min(Math.max(elapsedMs / 4, SHORTEST_PAUSE_MS), LONGEST_PAUSE_MS);
}

/** Calls of this process that change the row of one run, in their order of arrival. */
interface Line {
  last: Promise<unknown>;
  length: number;
  /**
   * Time when a try first found the row locked, from performance.now(), and the error of the last
   * such try.
   */
  locked: { readonly since: number; readonly error: unknown } | undefined;
}

/** Repeats work that fails at once when the run's row is locked, until the row is free. */
export type WhileLocked = <T>(work: () => Promise<T>) => Promise<T>;

const ignore = (): void => undefined;

/**
 * Queues the calls that change a run's row. However many calls wait for one locked row, only the
 * first one tries the row. It holds no connection between two tries.
 */
export class RunLines {
  private readonly lines = new Map<string, Line>();

  /**
   * Does the work when the earlier calls have ended.
   *
   * @throws the error of the work; the error of the lock when the row stays locked for longer than
   * 10 s
   */
  async inTurn<T>(runId: string, work: (whileLocked: WhileLocked) => Promise<T>): Promise<T> {
    const since = performance.now();
    const line = this.lines.get(runId) ?? { last: Promise.resolve(), length: 0, locked: undefined };
    this.lines.set(runId, line);
    line.length++;
    const turn = line.last.then(() => {
      // The earlier calls have tried the row for the whole time that this call has waited.
      if (line.locked && performance.now() - since > PATIENCE_MS) throw line.locked.error;
      return work((once) => tryUntilFree(line, since, once));
    });
    line.last = turn.catch(ignore);
    try {
      return await turn;
    } finally {
      if (--line.length === 0) this.lines.delete(runId);
    }
  }
}

async function tryUntilFree<T>(line: Line, since: number, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      const result = await work();
      line.locked = undefined;
      return result;
    } catch (error) {
      const now = performance.now();
      if (!['locked', 'conflict', 'cancelled'].includes(faultOf(error))) {
        line.locked = undefined;
        throw error;
      }
      line.locked = { since: line.locked?.since ?? now, error };
      if (now - since > PATIENCE_MS) throw error;
      await sleep(pauseAfter(now - line.locked.since));
    }
  }
}
