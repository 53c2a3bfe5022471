import { Decoder } from './decoder.js';
import { Encoder } from './encoder.js';
import { ErrorBudget } from './error-budget.js';
import { TAG } from './json.js';
import type { Json, JsonObject } from './json.js';
import { escapeText } from './text.js';
import { SerializationError } from '../errors/index.js';

/**
 * The JSON text of a payload, for PostgreSQL's `json` type (not jsonb).
 *
 * Plain values are plain JSON. Date, Map, Set, BigInt, undefined, NaN, infinities, -0, RegExp, URL, bytes and errors come
 * back as they went in, the same object in two places as the same object. Class instances become plain data, by their `toJSON`
 * when they have one.
 *
 * @param path the name of the value for errors: `input`, or `output of step "charge"`
 * @param maxBytes what is far larger is refused before its text is built; the text may still be somewhat larger
 * @throws SerializationError for functions, symbols, cycles, promises and the like, and more than 1,000 levels
 * @throws PayloadTooLargeError
 */
export function encode(value: unknown, path: string, maxBytes = Number.POSITIVE_INFINITY): string {
  const json = value === null || typeof value === 'boolean' ? value : new Encoder(path, undefined, maxBytes).payload(value);
  try {
    return escapeText(JSON.stringify(json));
  } catch (cause) {
    // The text would be longer than a string can be.
    throw new SerializationError(path, cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

/** The value that `encode` was given. Text without rich values costs no more than JSON.parse. */
export function decode(text: string): unknown {
  const json = JSON.parse(text) as Json;
  // Every tag and every escaped string begins so.
  return text.includes(TAG) ? new Decoder(json, text).value(json) : json;
}

/**
 * The JSON text of anything that was thrown: an object with `name`, `message`, `stack`, and `code`, `cause`, `errors`, `data` (the
 * other own properties) where there are such.
 *
 * Never throws. Long messages and stacks are cut, chains of causes end after 8, and properties that cannot be stored, or are large,
 * are left out. A thrown value that is no Error is recorded as one, with the value as its `cause`.
 */
export function encodeError(error: unknown): string {
  try {
    return escapeText(JSON.stringify(new Encoder('error', new ErrorBudget()).thrown(error)));
  } catch {
    return '{"name":"NonError","message":"what was thrown cannot be read"}';
  }
}

/**
 * The Error that `encodeError` recorded. Errors of this package satisfy `instanceof` again; of others the name is kept.
 *
 * @throws PayloadUnreadableError when there is something in it that this process does not know
 */
export function decodeErrorExactly(text: string): Error {
  const record = errorRecordOf(text);
  return new Decoder(record, text).error(record);
}

/** The same, for people: without what this process does not know, rather than not at all. */
export function decodeError(text: string): Error {
  try {
    return decodeErrorExactly(text);
  } catch {
    const plain = Object.entries(errorRecordOf(text)).filter(([, value]) => typeof value === 'string');
    return new Decoder({}, '').error(Object.fromEntries(plain));
  }
}

function errorRecordOf(text: string): JsonObject {
  const json = JSON.parse(text) as Json;
  return typeof json === 'object' && json !== null && !Array.isArray(json) ? json : { name: 'NonError', message: text };
}
