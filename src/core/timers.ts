import timers from 'node:timers';
import promises from 'node:timers/promises';

/**
 * Node's timers as they were when the package was loaded. Test runners replace the global ones (Jest, Vitest), and some those of `node:timers` as well (Sinon, node:test). A
 * callback that a fake clock swallows would stop every run of the process, also after real timers are back.
 */
export let { setTimeout, clearTimeout, setImmediate } = timers;
export const { setInterval, clearInterval, clearImmediate } = timers;

/** Resolves after so many milliseconds. */
export const sleep: (ms: number, value?: undefined, options?: { ref?: boolean }) => Promise<void> = promises.setTimeout;

/** Replaces timers, for tests of the engine in virtual time. */
export function replaceTimers(others: Partial<Pick<typeof timers, 'setTimeout' | 'clearTimeout' | 'setImmediate'>>): void {
  ({ setTimeout = setTimeout, clearTimeout = clearTimeout, setImmediate = setImmediate } = others);
}
