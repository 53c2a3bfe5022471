import { types } from 'node:util';

/**
 * Built-ins whose content is not in properties. Copied like an instance, they would silently become
 * `{}`. Map and Set are listed for imitations and proxies, because real ones are encoded.
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
 * True for an opaque built-in.
 *
 * @param kind the result of `Object.prototype.toString` for the value
 */
export function isOpaque(value: object, kind: string): boolean {
  if (kind === '[object Object]') return false;
  return OPAQUE.has(kind) || NAMESPACE.test(kind) || kind.endsWith(' Iterator]') || types.isPromise(value) || value instanceof Event;
}

const NAMESPACE = /^\[object (?:Intl|WebAssembly)\./;
