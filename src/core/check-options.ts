import { InvalidInputError } from './errors/input-errors.js';

/**
 * True for a plain object, such as `{ a: 1 }`. False for null, an array or an instance of a class.
 */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  try {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (Array.isArray(value)) return false;
    return prototype === Object.prototype || prototype === null || Object.getPrototypeOf(prototype) === null;
  } catch {
    // The value is a revoked proxy, or a proxy whose traps throw.
    return false;
  }
}

/**
 * Checks that options are a plain object with known keys only, so that a misspelt option is not
 * silently ignored.
 *
 * @param argument the name of the options in errors; a key is named `argument.key`
 * @returns a copy of the options. Each getter was read once, so the values that are checked later
 *   are the values that are used
 * @throws InvalidInputError when the value is not a plain object, a key is unknown, or a getter
 *   throws
 */
export function checkOptions<T extends object>(value: T, argument: string, known: readonly string[]): T {
  return checkKeys(value, argument, known, (key) => `${argument}.${key}`);
}

/**
 * Checks options as `checkOptions` does, but an error about a key names the key alone, without
 * `argument`.
 */
export function checkNamedOptions<T extends object>(value: T, argument: string, known: readonly string[]): T {
  return checkKeys(value, argument, known, (key) => key);
}

function checkKeys<T extends object>(value: T, argument: string, known: readonly string[], nameOf: (key: string) => string): T {
  if (!isPlainObject(value)) throw new InvalidInputError(argument, 'must be an object');
  const copy: Record<string, unknown> = {};
  for (const key of keysOf(value, argument)) {
    if (!known.includes(key)) throw new InvalidInputError(nameOf(shorten(key)), 'is not an option');
    try {
      copy[key] = value[key];
    } catch (cause) {
      throw new InvalidInputError(nameOf(key), 'cannot be read', { cause });
    }
  }
  return copy as T;
}

/**
 * Returns the keys of an object.
 *
 * @throws InvalidInputError when the object is a proxy whose trap throws
 */
export function keysOf(value: object, argument: string): string[] {
  try {
    return Object.keys(value);
  } catch (cause) {
    throw new InvalidInputError(argument, 'cannot be read', { cause });
  }
}

/** Shortens a long key, so that an error message with the key stays readable. */
function shorten(key: string): string {
  return key.length > 100 ? `${key.slice(0, 100)}...` : key;
}
