import { AsyncLocalStorage } from 'node:async_hooks';

type Enter = <T, Args extends unknown[]>(code: (...args: Args) => T, ...args: Args) => T;

/** Context in which this module was loaded; undefined until `refineOutside` is called. */
let original: Enter | undefined;
let enter: Enter = <T, Args extends unknown[]>(code: (...args: Args) => T, ...args: Args): T => code(...args);
// The snapshot is taken in a microtask, which has the same async context as the load of this
// module. If the load itself took the snapshot, Jest would report the snapshot as an open handle.
void Promise.resolve().then(() => {
  enter = AsyncLocalStorage.snapshot();
});

/**
 * Makes `outside` enter another context: the one that `enterContext` adds to the context in which
 * this module was loaded. Used to suppress the tracing of the module's own statements. Without an
 * argument, `outside` enters the original context again.
 */
export function refineOutside(enterContext?: <T>(code: () => T) => T): void {
  original ??= enter;
  enter = enterContext ? original(() => enterContext(() => AsyncLocalStorage.snapshot())) : original;
}

/**
 * Executes code in the async context in which this module was loaded. Otherwise, a timer or a
 * shared connection would keep the context of the request that happened to create it. That context
 * includes the request's user, trace and open transaction, and would apply as long as the timer or
 * connection exists.
 */
export function outside<T, Args extends unknown[]>(code: (...args: Args) => T, ...args: Args): T {
  return enter(code, ...args);
}

/**
 * Executes code of the application as `outside` does, but without what `refineOutside` has added.
 * Otherwise spans of the application would be suppressed together with those of the module's own
 * statements.
 */
export function outsideUnrefined<T, Args extends unknown[]>(code: (...args: Args) => T, ...args: Args): T {
  return (original ?? enter)(code, ...args);
}
