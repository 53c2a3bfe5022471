import { InvalidInputError } from './errors/input-errors.js';

/** True for an object as a literal makes it: not null, an array or an instance of a class. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  try {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (Array.isArray(value)) return false;
    return prototype === Object.prototype || prototype === null || Object.getPrototypeOf(prototype) === null;
  } catch {
    // A proxy whose traps throw, or a revoked proxy.
    return false;
  }
}

/**
 * Checks that options are a plain object with known keys only, so that a misspelt option is not
 * silently ignored.
 *
 * @param argument the caller's name of the options; the keys follow after a dot
 * @returns a copy, for which every getter was read once: the values that are checked later are the
 *   values that are used
 * @throws InvalidInputError also when a getter throws
 */
export function checkOptions<T extends object>(value: T, argument: string, known: readonly string[]): T {
  return checkKeys(value, argument, known, (key) => `${argument}.${key}`);
}

/** Checks options as `checkOptions` does. Errors name the keys alone, without the object. */
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

/** Returns the keys of an object. @throws InvalidInputError when a trap of a proxy throws */
export function keysOf(value: object, argument: string): string[] {
  try {
    return Object.keys(value);
  } catch (cause) {
    throw new InvalidInputError(argument, 'cannot be read', { cause });
  }
}

/** Shortens a key, so that an error message stays readable for any object. */
function shorten(key: string): string {
  return key.length > 100 ? `${key.slice(0, 100)}...` : key;
}
