import { types } from 'node:util';

import { clearTimeout, setTimeout } from './timers.js';

/**
 * Waits at most `ms` milliseconds for a promise. Resolves with `done` when the promise resolves in
 * time, and with `late` otherwise. Rejects when the promise rejects in time.
 */
export async function within(ms: number, work: Promise<unknown>): Promise<'done' | 'late'> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), ms);
  });
  try {
    return await Promise.race([work.then(() => 'done' as const), late]);
  } finally {
    clearTimeout(timer);
    // If the promise rejects after the time limit, the unhandled rejection would end the process.
    work.catch(() => undefined);
  }
}

/**
 * True for a promise, and for any other object with a `then` method. Callers use this check to
 * refuse a promise where a plain value is needed, such as the result of a synchronous callback.
 * Nobody waits for a refused promise, so its rejection is caught here: an unhandled rejection would
 * end the process.
 */
export function isPromise(value: unknown): boolean {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false;
  try {
    if (!types.isPromise(value) && typeof (value as { then?: unknown }).then !== 'function') return false;
  } catch {
    // The `then` getter of the value throws, so the value cannot be awaited.
    return false;
  }
  new Promise((resolve) => {
    resolve(value);
  }).catch(() => undefined);
  return true;
}

/**
 * Wraps promises, so that one call of `abort` rejects all of them at once, and all later ones too.
 * `Promise.race` with one long-lived abort promise would leak memory: each race adds a reaction to
 * the abort promise, and the reaction keeps the result of the race in memory.
 */
export class AbortGate {
  private reason: Error | undefined;
  private readonly waiting = new Set<(reason: Error) => void>();

  /**
   * Settles as the given promise does, or rejects with the reason passed to `abort`, whichever
   * happens first.
   */
  until<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.reason) reject(this.reason);
      this.waiting.add(reject);
      void work.then(resolve, reject).finally(() => this.waiting.delete(reject));
    });
  }

  /**
   * Rejects all pending and all later calls of `until`. If `abort` is called again, the first
   * reason stays.
   */
  abort(reason: Error): void {
    this.reason ??= reason;
    for (const reject of this.waiting) reject(this.reason);
  }
}
