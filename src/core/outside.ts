import { AsyncLocalStorage } from 'node:async_hooks';

const enter = AsyncLocalStorage.snapshot();

/**
 * Executes code in the asynchronous context in which this module was loaded. A timer, or a query on
 * a shared connection, otherwise keeps the context of the request that happened to start it: with
 * its user, its trace and its open transaction, and for as long as the timer lives.
 */
export function outside<T, Args extends unknown[]>(code: (...args: Args) => T, ...args: Args): T {
  return enter(code, ...args);
}
