import { AsyncLocalStorage } from 'node:async_hooks';

let enter = <T, Args extends unknown[]>(code: (...args: Args) => T, ...args: Args): T => code(...args);
// The snapshot is taken in a microtask, which has the same async context as the load of this
// module. If the load itself took the snapshot, Jest would report the snapshot as an open handle.
void Promise.resolve().then(() => {
  enter = AsyncLocalStorage.snapshot();
});

/**
 * Executes code in the async context in which this module was loaded. Otherwise, a timer or a
 * shared connection would keep the context of the request that happened to create it. That context
 * includes the request's user, trace and open transaction, and would apply as long as the timer or
 * connection exists.
 */
export function outside<T, Args extends unknown[]>(code: (...args: Args) => T, ...args: Args): T {
  return enter(code, ...args);
}
