import { types } from 'node:util';

/**
 * Built-in classes that keep their content outside of properties, as `Object.prototype.toString`
 * names their instances. A copy of such an instance's properties would silently be `{}`. Real Maps
 * and Sets are encoded before this check. Map and Set are listed for proxies, and for other objects
 * that only have the same `Symbol.toStringTag`.
 */
const OPAQUE: ReadonlySet<string> = new Set(
  [
    'Map Set WeakMap WeakSet WeakRef FinalizationRegistry Promise SharedArrayBuffer Generator AsyncGenerator',
    'Iterator AsyncIterator ReadableStream WritableStream TransformStream Blob File FormData Headers Request Response',
    'URLSearchParams AbortController AbortSignal EventTarget MessagePort CryptoKey KeyObject WebSocket',
  ]
    .join(' ')
    .split(' ')
    .map((name) => `[object ${name}]`),
);

/**
 * True for a built-in object whose content is not in properties and would be lost.
 *
 * @param kind the result of `Object.prototype.toString` for the value
 */
export function isOpaque(value: object, kind: string): boolean {
  if (kind === '[object Object]') return false;
  return OPAQUE.has(kind) || NAMESPACE.test(kind) || kind.endsWith(' Iterator]') || types.isPromise(value) || value instanceof Event;
}

const NAMESPACE = /^\[object (?:Intl|WebAssembly)\./;
