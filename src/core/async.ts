import { types } from 'node:util';

import { clearTimeout, setTimeout } from './timers.js';

/**
 * Waits for work, but at most `ms` milliseconds. Resolves with `done` when the work has resolved
 * and with `late` when the time has passed. Rejects when the work rejects within the time.
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
    // Work that fails after its time must not end the process by an unhandled rejection.
    work.catch(() => undefined);
  }
}

/**
 * True when a callback that must return its result at once has returned a promise. The caller
 * throws an error of its own in that case. A rejection of the promise is caught here, because an
 * unhandled rejection ends the process.
 */
export function isPromise(value: unknown): boolean {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false;
  try {
    if (!types.isPromise(value) && typeof (value as { then?: unknown }).then !== 'function') return false;
  } catch {
    // The getter of `then` throws, so nobody can wait for the value.
    return false;
  }
  new Promise((resolve) => {
    resolve(value);
  }).catch(() => undefined);
  return true;
}

/**
 * Lets callers stop waiting for work, once and for good. Racing the work against one promise that
 * lives as long as the process would leak memory: that promise keeps a reaction, and with it the
 * result, of every race.
 */
export class AbortGate {
  private reason: Error | undefined;
  private readonly waiting = new Set<(reason: Error) => void>();

  /** Settles as the work does, or rejects with the reason of `abort`, whichever happens first. */
  until<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.reason) reject(this.reason);
      this.waiting.add(reject);
      void work.then(resolve, reject).finally(() => this.waiting.delete(reject));
    });
  }

  /** Rejects all waiting callers and all later ones. The reason of the first call is kept. */
  abort(reason: Error): void {
    this.reason ??= reason;
    for (const reject of this.waiting) reject(this.reason);
  }
}
