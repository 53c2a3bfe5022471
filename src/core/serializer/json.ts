/**
 * Stored form of a value as a tree that `JSON.parse` returns, before rich values such as Date are
 * rebuilt.
 */
export type Json = string | number | boolean | null | Json[] | JsonObject;

export interface JsonObject {
  [key: string]: Json;
}

/**
 * Key that marks an object as a stored rich value, such as
 * `{"$durable":"date","value":"2026-01-01T00:00:00.000Z"}`. Objects without the key are plain JSON,
 * which SQL reads as they are.
 */
export const TAG = '$durable';

/**
 * Stored form of `undefined`. All trees share one frozen object, because `undefined` is frequent
 * and an object for each would cost memory.
 */
export const UNDEFINED: JsonObject = Object.freeze({ [TAG]: 'undefined' });

/**
 * Placeholder for a missing element of a sparse array. With the placeholder, the other elements
 * keep their indexes, also when SQL reads them.
 */
export const HOLE: JsonObject = Object.freeze({ [TAG]: 'hole' });

/**
 * Wraps an object of the application that has the key `$durable` itself, so that the decoder does
 * not take the key for a tag.
 */
export function escapeTag(object: JsonObject): JsonObject {
  return { [TAG]: 'object', value: object };
}

/** True for a number that JSON can hold: finite, and not -0. */
export function isPlainNumber(value: number): boolean {
  return value === 0 ? 1 / value > 0 : Number.isFinite(value);
}
