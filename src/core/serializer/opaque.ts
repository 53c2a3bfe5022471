import { types } from 'node:util';

/**
 * Names of built-in classes that keep their content outside of properties. Copied by their
 * properties, instances would silently become `{}`. Map and Set are listed for proxies and
 * imitations, because real Maps and Sets are encoded before this check.
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
