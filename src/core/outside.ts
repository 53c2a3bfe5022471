import { AsyncLocalStorage } from 'node:async_hooks';

let enter = <T, Args extends unknown[]>(code: (...args: Args) => T, ...args: Args): T => code(...args);
// In a microtask, which has the same context: what a test file makes while it loads is an open handle for Jest.
void Promise.resolve().then(() => {
  enter = AsyncLocalStorage.snapshot();
});

/**
 * Executes code in the asynchronous context in which this module was loaded. A timer, or a query on
 * a shared connection, otherwise keeps the context of the request that happened to start it: with
 * its user, its trace and its open transaction, and for as long as the timer lives.
 */
export function outside<T, Args extends unknown[]>(code: (...args: Args) => T, ...args: Args): T {
  return enter(code, ...args);
}
