import { InvalidInputError } from './errors/input-errors.js';

/** Whether it is an object as a literal makes it: not null, no array, no instance of a class. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null || Object.getPrototypeOf(prototype) === null;
}

/**
 * Checks that options are an object that has only keys that mean something: a misspelt option must not be silently ignored.
 *
 * @param argument how the caller names them; the keys follow after a dot
 * @throws InvalidInputError
 */
export function checkOptions(value: unknown, argument: string, known: readonly string[]): void {
  if (!isPlainObject(value)) throw new InvalidInputError(argument, 'must be an object');
  for (const key of Object.keys(value)) if (!known.includes(key)) throw new InvalidInputError(`${argument}.${key}`, 'is not an option');
}
