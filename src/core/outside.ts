import { AsyncLocalStorage } from 'node:async_hooks';

let enter = <T, Args extends unknown[]>(code: (...args: Args) => T, ...args: Args): T => code(...args);
// Taken in a microtask, which has the same context: Jest reports a snapshot that is taken while a
// test file loads as an open handle.
void Promise.resolve().then(() => {
  enter = AsyncLocalStorage.snapshot();
});

/**
 * Executes code in the async context in which this module was loaded. Otherwise a timer, or a query
 * on a shared connection, would keep the context of the request that happened to start it, with the
 * request's user, trace and open transaction, for as long as the timer lives.
 */
export function outside<T, Args extends unknown[]>(code: (...args: Args) => T, ...args: Args): T {
  return enter(code, ...args);
}
