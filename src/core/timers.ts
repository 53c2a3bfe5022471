import timers from 'node:timers';
import promises from 'node:timers/promises';

import { outside } from './outside.js';

/**
 * Wraps a timer function so that its timers run in the package's own async context. A timer that is
 * set during a request would otherwise keep the request's context alive.
 */
function contextFree<Args extends unknown[], Handle>(set: (...args: Args) => Handle): (...args: Args) => Handle {
  return (...args) => outside(set, ...args);
}

/**
 * Node's timers as they were when the package was loaded. Test runners replace the global timers
 * (Jest, Vitest), and some also replace the timers of `node:timers` (Sinon, node:test). A fake
 * clock may never call a callback. That would stop every run of the process, even after the real
 * timers are restored.
 */
export let setTimeout = contextFree(timers.setTimeout) as typeof timers.setTimeout;
export let setImmediate = contextFree(timers.setImmediate) as typeof timers.setImmediate;
export let { clearTimeout } = timers;
export const setInterval = contextFree(timers.setInterval) as typeof timers.setInterval;
export const { clearInterval, clearImmediate } = timers;

/** Longest delay of a timer in milliseconds. Node turns longer delays into 1 ms. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

/** Resolves after `ms` milliseconds. */
export const sleep: (ms: number, value?: undefined, options?: { ref?: boolean; signal?: AbortSignal }) => Promise<void> =
  promises.setTimeout;

/** Replaces timers, for tests of the engine in virtual time. */
export function replaceTimers(others: Partial<Pick<typeof timers, 'setTimeout' | 'clearTimeout' | 'setImmediate'>>): void {
  ({ setTimeout = setTimeout, clearTimeout = clearTimeout, setImmediate = setImmediate } = others);
}
