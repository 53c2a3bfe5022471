/** What `JSON.parse` gives: the tree that is stored, before rich values are rebuilt from it. */
export type Json = string | number | boolean | null | Json[] | JsonObject;

export interface JsonObject {
  [key: string]: Json;
}

/**
 * The key that marks an object as a stored rich value: `{"$durable":"date","value":"2026-01-01T00:00:00.000Z"}`.
 * Everything without it is plain JSON, which SQL reads as it is.
 */
export const TAG = '$durable';

/** One for all: `undefined` is frequent, and nobody changes the tree after it was built. */
export const UNDEFINED: JsonObject = Object.freeze({ [TAG]: 'undefined' });

/** Stands where a sparse array has no element, so that the others keep their places for SQL too. */
export const HOLE: JsonObject = Object.freeze({ [TAG]: 'hole' });

/** Wraps an object that owns the tag key itself, so that data never reads as a tag. */
export function escapeTag(object: JsonObject): JsonObject {
  return { [TAG]: 'object', value: object };
}
