import { SharedStateError } from '../core/errors/index.js';
import { executionScope } from '../engine/current.js';

/**
 * In development, makes a pass fail that changes fields of the workflow's instance: it would work until the first replay, or until two runs meet.
 *
 * Whoever writes is known by the scope that it writes in, so another run that happens to go on meanwhile is not blamed; and the body of a step may keep
 * what it likes, a connection for one. A field that does not exist at first is known from the end of the pass on in which it has come up. Looks at the
 * instance's own fields, not into them, and not at private ones (`#field`).
 */
export function guardSharedState<A extends unknown[]>(
  instance: object,
  run: (...args: A) => Promise<unknown>,
): (...args: A) => Promise<unknown> {
  if (process.env['NODE_ENV'] === 'production') return run;
  const changed = new WeakMap<object, Set<string>>();
  const note = (field: string): void => {
    const scope = executionScope.getStore();
    if (!scope || scope.step) return;
    const fields = changed.get(scope.pass) ?? new Set();
    changed.set(scope.pass, fields.add(field));
  };
  const watched = new Set<string>();
  const watchAll = (): void => {
    for (const field of Object.keys(instance)) if (!watched.has(field) && watch(instance, field, note)) watched.add(field);
  };
  watchAll();
  return async (...args) => {
    const result = await run(...args);
    watchAll();
    const pass = executionScope.getStore()?.pass;
    const fields = pass && changed.get(pass);
    if (fields) throw new SharedStateError(instance.constructor.name, [...fields]);
    return result;
  };
}

/** Returns whether it can be watched. Functions are left alone: tests spy on them. */
function watch(instance: object, field: string, note: (field: string) => void): boolean {
  const descriptor = Object.getOwnPropertyDescriptor(instance, field);
  if (!descriptor?.configurable || !descriptor.writable || typeof descriptor.value === 'function') return false;
  let value: unknown = descriptor.value;
  Object.defineProperty(instance, field, {
    configurable: true,
    enumerable: true,
    get: () => value,
    set: (given: unknown) => {
      if (!Object.is(value, given)) note(field);
      value = given;
    },
  });
  return true;
}
