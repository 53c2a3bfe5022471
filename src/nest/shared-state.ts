import { SharedStateError } from '../core/errors/index.js';

/**
 * In development, makes a pass fail that changes fields of the workflow's instance: it would work until the first replay, or until two runs meet.
 * Looks at the instance's own fields, not into them.
 */
export function guardSharedState<A extends unknown[]>(
  instance: object,
  run: (...args: A) => Promise<unknown>,
): (...args: A) => Promise<unknown> {
  if (process.env['NODE_ENV'] === 'production') return run;
  return async (...args) => {
    const before = { ...instance } as Record<string, unknown>;
    const result = await run(...args);
    const after = { ...instance } as Record<string, unknown>;
    const changed = Object.keys({ ...before, ...after }).filter((field) => !Object.is(before[field], after[field]));
    if (changed.length > 0) throw new SharedStateError(instance.constructor.name, changed);
    return result;
  };
}
