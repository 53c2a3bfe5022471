import { SharedStateError } from '../core/errors/index.js';
import { executionScope } from '../engine/current.js';

/**
 * Fails a pass that changes fields of the workflow's instance, in development. Such code would work
 * until the first replay, or until two runs are executed at the same time.
 *
 * The scope of the writing code identifies the pass, so another run that is active at that moment
 * is not blamed. Step bodies may set fields, for example to keep a connection. A new field is
 * watched from the end of the pass that has created it. The check covers the instance's own fields.
 * It covers neither the contents of objects in them nor private fields (`#field`).
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
 * Watches a field. Functions are not watched, because tests spy on them.
 *
 * @returns true when the field can be watched
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
