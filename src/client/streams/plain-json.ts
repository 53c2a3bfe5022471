import { types } from 'node:util';

/**
 * Converts a value to JSON that any client can read. A bigint becomes a string of digits, bytes
 * become base64, a Map a list of entries and a Set a list. An error becomes an object with its name
 * and message, and a regular expression a string.
 */
export function toPlainJson(value: unknown): string {
  const replace = function (this: Readonly<Record<string, unknown>>, key: string, each: unknown): unknown {
    // JSON.stringify has already called toJSON, by which a Buffer becomes a list of numbers.
    const original = this[key];
    if (ArrayBuffer.isView(original)) return Buffer.from(original.buffer, original.byteOffset, original.byteLength).toString('base64');
    if (types.isAnyArrayBuffer(original)) return Buffer.from(original).toString('base64');
    if (typeof each === 'bigint') return each.toString();
    if (types.isRegExp(each)) return String(each);
    if (each instanceof Error) return { name: each.name, message: each.message };
    return types.isMap(each) || types.isSet(each) ? [...each] : each;
  };
  return JSON.stringify(value, replace) ?? 'null';
}
