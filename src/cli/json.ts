import { types } from 'node:util';

// JSON.stringify escapes the other control characters.
const UNSAFE = /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** Fields of an error that appear in JSON. */
export interface ErrorFields {
  readonly name: string;
  readonly code: string | undefined;
  readonly message: string;
}

/** Returns the fields of an error. Leaves out the stack, which shows only the worker's code. */
export function errorFields(error: Error): ErrorFields {
  const { code } = error as { code?: unknown };
  return { name: error.name, code: typeof code === 'string' ? code : undefined, message: error.message };
}

/**
 * Returns a value as JSON text. Payloads may have values that JSON lacks: a bigint and a number
 * such as NaN become text, a Map becomes pairs, a Set becomes an array, bytes become base64.
 * Characters that a terminal interprets are escaped, which changes nothing for a JSON parser.
 *
 * @param indent spaces per level; without it, the text is one line
 */
export function jsonText(value: unknown, indent?: number): string {
  const text = JSON.stringify(value, toJson, indent) ?? 'null';
  return text.replaceAll(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function toJson(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  if (value instanceof Error || types.isNativeError(value)) {
    return { ...errorFields(value), ...(value.cause === undefined ? {} : { cause: value.cause }) };
  }
  if (types.isMap(value)) return [...value];
  if (types.isSet(value)) return [...value];
  if (types.isUint8Array(value)) return Buffer.from(value).toString('base64');
  return value;
}
