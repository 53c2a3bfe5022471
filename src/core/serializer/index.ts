import { Decoder } from './decoder.js';
import { Encoder } from './encoder.js';
import { ErrorBudget } from './error-budget.js';
import { TAG } from './json.js';
import type { Json, JsonObject } from './json.js';
import { escapeText } from './text.js';
import { SerializationError } from '../errors/index.js';

/**
 * Encodes a payload as JSON text, for PostgreSQL's `json` type (not jsonb).
 *
 * Plain values are plain JSON. Date, Map, Set, BigInt, undefined, NaN, infinities, -0, RegExp, URL,
 * bytes and errors are decoded as they were encoded. An object that occurs in two places is decoded
 * as one shared object. An instance of a registered class is decoded as an instance. Instances of
 * other classes become plain data, by their `toJSON` when they have one.
 *
 * @param path the name of the value in errors: `input`, or `output of step "charge"`
 * @param maxBytes the size limit. A value that is far larger is refused before its text is built.
 *   The returned text may still exceed the limit, so callers check the size of the text
 * @throws SerializationError for values that are not data, such as functions, symbols and promises,
 *   for cycles, and for more than 1,000 levels of nesting
 * @throws PayloadTooLargeError when the value is far larger than `maxBytes`
 */
export function encode(value: unknown, path: string, maxBytes = Number.POSITIVE_INFINITY): string {
  const json = value === null || typeof value === 'boolean' ? value : new Encoder(path, undefined, maxBytes).payload(value);
  try {
    return escapeText(JSON.stringify(json));
  } catch (cause) {
    // JSON.stringify throws when the text would be longer than the longest string of JavaScript.
    throw new SerializationError(path, cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

/**
 * Decodes a text that `encode` made. Without rich values, such as Date and Map, decoding costs
 * hardly more than JSON.parse.
 */
export function decode(text: string): unknown {
  const json = JSON.parse(text) as Json;
  // Every rich value and every escaped string contains TAG. Without TAG, the result of JSON.parse
  // is complete.
  return text.includes(TAG) ? new Decoder(json, text).value(json) : json;
}

/**
 * Encodes any thrown value as JSON text: an object with `name`, `message` and `stack`. The object
 * also has `code`, `cause`, `errors` and `data` (all other own properties) if the thrown value has
 * them.
 *
 * Never throws. Long messages and stacks are cut, and a chain of causes is cut after 8 errors.
 * Properties that are large or cannot be stored are left out. A thrown value that is not an Error
 * is recorded as an error with the value as its `cause`.
 */
export function encodeError(error: unknown): string {
  try {
    return escapeText(JSON.stringify(new Encoder('error', new ErrorBudget()).thrown(error)));
  } catch {
    return '{"name":"NonError","message":"the thrown value cannot be read"}';
  }
}

/**
 * Decodes an error that `encodeError` recorded. Errors of this package and native errors, such as
 * TypeError, satisfy `instanceof` again. Any other error becomes an `Error` with the same name.
 *
 * @throws PayloadUnreadableError when this process cannot decode a part of the record
 */
export function decodeErrorExactly(text: string): Error {
  const record = errorRecordOf(text);
  return new Decoder(record, text).error(record);
}

/** Decodes an error for display. Leaves out the parts that this process cannot decode. */
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
