import { types } from 'node:util';

import { TAG } from './json.js';
import type { Json, JsonObject } from './json.js';

/**
 * Encodes a leaf: a built-in value that contains no other values. Returns undefined for any other
 * object.
 *
 * @param kind the result of `Object.prototype.toString` for the object
 */
export function encodeLeaf(value: object, kind: string): JsonObject | undefined {
  if (kind === '[object Date]' && types.isDate(value)) {
    const time = value.getTime();
    return { [TAG]: 'date', value: Number.isNaN(time) ? null : value.toISOString() };
  }
  if (kind === '[object RegExp]' && types.isRegExp(value)) {
    const { source, flags, lastIndex } = value;
    return { [TAG]: 'regexp', source, flags, ...(lastIndex !== 0 && { lastIndex }) };
  }
  if (value instanceof URL) return { [TAG]: 'url', value: value.href };
  if (ArrayBuffer.isView(value)) return bytes(viewType(value), value.buffer, value.byteOffset, value.byteLength);
  if (types.isArrayBuffer(value)) return bytes('ArrayBuffer', value, 0, value.byteLength);
  return undefined;
}

/**
 * Returns the least number of characters that an object takes in the serialized text, if it is a
 * buffer of bytes. Returns 0 for every other object.
 */
export function textLengthOf(value: object): number {
  if (!ArrayBuffer.isView(value) && !types.isArrayBuffer(value)) return 0;
  return Math.ceil(value.byteLength / 3) * 4;
}

/**
 * Decodes a leaf.
 *
 * @returns undefined when the tag does not belong to a leaf; the value of a leaf is never undefined
 */
export function decodeLeaf(tag: string, node: JsonObject, text: (json: Json | undefined) => string): unknown {
  switch (tag) {
    case 'date':
      return new Date(node.value === null ? Number.NaN : text(node.value));
    case 'number':
      return Number(text(node.value));
    case 'bigint':
      return BigInt(text(node.value));
    case 'url':
      return new URL(text(node.value));
    case 'regexp': {
      const expression = new RegExp(text(node.source), text(node.flags));
      expression.lastIndex = typeof node.lastIndex === 'number' ? node.lastIndex : 0;
      return expression;
    }
    case 'bytes':
      return decodeBytes(text(node.type), text(node.value));
    default:
      return undefined;
  }
}

function bytes(type: string, buffer: ArrayBufferLike, offset: number, length: number): JsonObject {
  return { [TAG]: 'bytes', type, value: Buffer.from(buffer, offset, length).toString('base64') };
}

/**
 * Returns the name of the type under which a view is stored. A Buffer keeps its type. An instance
 * of any other subclass is stored as the built-in type.
 */
function viewType(view: ArrayBufferView): string {
  if (Buffer.isBuffer(view)) return 'Buffer';
  return types.isTypedArray(view) ? view[Symbol.toStringTag] : 'DataView';
}

type ViewClass = new (buffer: ArrayBuffer) => ArrayBufferView;

const VIEWS: Readonly<Record<string, ViewClass | undefined>> = {
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  DataView,
  // Float16Array exists in Node 24, but not in Node 20 and not in the type definitions of Node that
  // this project uses.
  Float16Array: (globalThis as { Float16Array?: ViewClass }).Float16Array,
};

function decodeBytes(type: string, base64: string): unknown {
  const buffer = Buffer.from(base64, 'base64');
  if (type === 'Buffer') return buffer;
  // The bytes are copied, because small Buffers share a pool. Their offset in the pool may not be a
  // multiple of the element size, which typed arrays require.
  const own = new Uint8Array(buffer).buffer;
  if (type === 'ArrayBuffer') return own;
  const View = Object.hasOwn(VIEWS, type) ? VIEWS[type] : undefined;
  return View && new View(own);
}
