import { SharedStateError } from '../core/errors/index.js';
import { executionScope } from '../engine/current.js';

/**
 * Wraps a workflow's `run` so that, during development, an execution (a pass) that changes fields
 * of the workflow's instance fails. Code that changes such fields works only until its first
 * replay, or until two runs are executed at the same time.
 *
 * The asynchronous context of the code that changes a field identifies the pass. Passes of other
 * runs that are executed at the same time therefore do not fail. Step bodies may set fields, for
 * example to keep a connection. A field that a pass adds to the instance is watched only after that
 * pass. The check covers the fields of the instance itself, but neither the contents of objects in
 * them nor private fields (`#field`).
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

/**
 * Calls `note` whenever a field is changed. Fields that contain functions are not watched, because
 * tests replace them with spies.
 *
 * @returns false when the field cannot be watched
 */
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
