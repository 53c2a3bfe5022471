import { performance } from 'node:perf_hooks';

import { sleep } from '../core/timers.js';

/** Milliseconds after which the turn of a process that died is free. */
export const LEASE_MS = 60_000;
/**
 * Pause after each statement, as a multiple of the time that the statement took. So retention uses
 * at most a tenth of one connection, and slows down by itself when the server is busy.
 */
const PAUSE_PER_WORK = 9;
/** Pause between two rounds, as a fraction of the shortest retention, and its bounds. */
const PAUSE_PER_RETENTION = 0.05;
const MIN_ROUND_PAUSE_MS = 1_000;
const MAX_ROUND_PAUSE_MS = 60_000;

/**
 * Returns the milliseconds between two rounds of retention.
 *
 * @param shortestMs shortest retention, in milliseconds; infinite without a retention
 */
export function roundPause(shortestMs: number): number {
  return Math.min(Math.max(shortestMs * PAUSE_PER_RETENTION, MIN_ROUND_PAUSE_MS), MAX_ROUND_PAUSE_MS);
}

/** Does the work, then pauses. The pause ends early when the process shuts down. */
export async function paced<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const began = performance.now();
  const result = await work();
  await sleep((performance.now() - began) * PAUSE_PER_WORK, undefined, { ref: false, signal }).catch(() => undefined);
  return result;
}
