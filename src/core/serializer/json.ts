/** Result of `JSON.parse`: the stored tree, before rich values are rebuilt from it. */
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
 * Stored form of `undefined`. One shared object, because `undefined` is frequent and a tree is
 * never changed after it was built.
 */
export const UNDEFINED: JsonObject = Object.freeze({ [TAG]: 'undefined' });

/**
 * Placeholder for a missing element of a sparse array. The other elements keep their indexes, also
 * for SQL.
 */
export const HOLE: JsonObject = Object.freeze({ [TAG]: 'hole' });

/** Wraps an object that has the tag key itself, so that data is never read as a tag. */
export function escapeTag(object: JsonObject): JsonObject {
  return { [TAG]: 'object', value: object };
}

/** True for a number that JSON can hold: finite, and not -0. */
export function isPlainNumber(value: number): boolean {
  return value === 0 ? 1 / value > 0 : Number.isFinite(value);
}
