import { InvalidInputError } from './errors/input-errors.js';

/** Whether it is an object as a literal makes it: not null, no array, no instance of a class. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  try {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (Array.isArray(value)) return false;
    return prototype === Object.prototype || prototype === null || Object.getPrototypeOf(prototype) === null;
  } catch {
    // A proxy that refuses to be looked at, or one that was revoked.
    return false;
  }
}

/**
 * Checks that options are an object that has only keys that mean something: a misspelt option must not be silently ignored.
 *
 * @param argument how the caller names them; the keys follow after a dot
 * @returns a copy, for which every getter was read once: what is checked further on is what is used
 * @throws InvalidInputError also when reading one of them throws
 */
export function checkOptions<T extends object>(value: T, argument: string, known: readonly string[]): T {
  return checkKeys(value, argument, known, (key) => `${argument}.${key}`);
}

/** The same, for options that a caller names without their object. */
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

/** @throws InvalidInputError when a proxy will not tell */
export function keysOf(value: object, argument: string): string[] {
  try {
    return Object.keys(value);
  } catch (cause) {
    throw new InvalidInputError(argument, 'cannot be read', { cause });
  }
}

/** Whatever the key of a hostile object is, the message stays readable. */
function shorten(key: string): string {
  return key.length > 100 ? `${key.slice(0, 100)}...` : key;
}
