import { types } from 'node:util';

import { PayloadTooLargeError, PayloadUnreadableError, SerializationError } from './errors/index.js';
import { isPromise } from './async.js';
import { decode, decodeError, decodeErrorExactly, encode, encodeError } from './serializer/index.js';

/** Description of a payload, for a codec. */
export interface PayloadInfo {
  readonly runId: string;
  readonly kind: 'input' | 'output' | 'error' | 'message';
}

/**
 * Transformation of payloads between this process and the database, such as encryption or
 * compression. Both methods are synchronous, because they are part of every step. Fetch keys before
 * the application boots, and keep them in the codec.
 */
export interface PayloadCodec {
  /**
   * Returns the bytes to store.
   *
   * @param payload JSON text as UTF-8
   * @returns undefined to store the payload as plain JSON
   */
  encode(payload: Uint8Array, info: PayloadInfo): Uint8Array | undefined;
  /**
   * Returns the bytes that were passed to `encode`, from the bytes that `encode` returned. Another
   * process may have encoded them, a year ago. Throws when the bytes cannot be decoded.
   */
  decode(stored: Uint8Array): Uint8Array;
}

/**
 * Start of an encoded payload. Plain data never starts like this: the serializer escapes the key.
 */
const HEAD = '{"$durable":"encoded","value":"';
const TAIL = '"}';

/**
 * Converts payloads to their stored form: JSON text within the limit, encoded by the codec if there
 * is one.
 */
export class Payloads {
  constructor(
    /**
     * Largest payload, in bytes of JSON. The size is measured before the codec, so that the limit
     * does not depend on the codec.
     */
    readonly maxBytes: number,
    private readonly codec: PayloadCodec | undefined,
  ) {}

  /**
   * Returns the text to store.
   *
   * @param subject the name of the value in errors: `input`
   * @throws SerializationError, PayloadTooLargeError
   */
  encode(value: unknown, subject: string, runId: string, kind: 'input' | 'output' | 'message'): string {
    const text = encode(value, subject, this.maxBytes);
    const bytes = text.length * 3 > this.maxBytes ? Buffer.byteLength(text) : 0;
    if (bytes > this.maxBytes) throw new PayloadTooLargeError(subject, bytes, this.maxBytes);
    return this.codec ? seal(this.codec, text, subject, { runId, kind }) : text;
  }

  /** Returns the value of a stored text. @throws PayloadUnreadableError */
  decode(stored: string, subject: string): unknown {
    try {
      return decode(this.open(stored, subject));
    } catch (error) {
      throw unreadable(error, subject);
    }
  }

  /**
   * Returns the text to store for an error. Never throws. When the codec fails, the error is stored
   * without its message and data, which must not reach the database as plain text.
   */
  encodeError(error: unknown, runId: string): string {
    return this.sealError(encodeError(error), runId);
  }

  /**
   * Returns the text to store for an error, and the error as it is stored but not encoded by the
   * codec, for the labels of a failed run. The thrown value itself is not used for the labels: its
   * getters may throw.
   */
  encodeFailure(thrown: unknown, runId: string): { readonly stored: string; readonly plain: Error } {
    const text = encodeError(thrown);
    return { stored: this.sealError(text, runId), plain: decodeError(text) };
  }

  private sealError(text: string, runId: string): string {
    if (!this.codec) return text;
    const info = { runId, kind: 'error' } as const;
    try {
      return seal(this.codec, text, 'error', info);
    } catch {
      const { name, code, lineage } = JSON.parse(text) as Record<string, unknown>;
      return JSON.stringify({ name, message: 'the payload codec failed on this error', code, lineage });
    }
  }

  /**
   * Returns a stored error completely.
   *
   * @throws PayloadUnreadableError when a part of it cannot be
   * read
   */
  decodeError(stored: string): Error {
    try {
      return decodeErrorExactly(this.open(stored, 'error'));
    } catch (error) {
      throw unreadable(error, 'error');
    }
  }

  /**
   * Returns as much of a stored error as this process can read, for display. Returns the
   * PayloadUnreadableError when nothing can be read. Never throws.
   */
  showError(stored: string): Error {
    try {
      return decodeError(this.open(stored, 'error'));
    } catch (error) {
      return unreadable(error, 'error');
    }
  }

  /**
   * Returns the JSON text of a stored payload. A payload that the codec has not encoded, or that is
   * older than the codec, is JSON text already.
   */
  private open(stored: string, subject: string): string {
    if (!stored.startsWith(HEAD)) return stored;
    if (!this.codec) throw new PayloadUnreadableError(subject, 'a payload codec encoded it, and this process has none');
    try {
      const bytes = this.codec.decode(Buffer.from(stored.slice(HEAD.length, -TAIL.length), 'base64'));
      if (!isBytes(bytes)) {
        if (!isPromise(bytes)) throw new TypeError('decode returned no Uint8Array');
        throw new PayloadUnreadableError(subject, 'decode of the payload codec returned a promise; it must be synchronous');
      }
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
    } catch (cause) {
      if (cause instanceof PayloadUnreadableError) throw cause;
      // The codec's message is left out: it may quote the payload, and this error ends up in logs.
      throw new PayloadUnreadableError(subject, 'the payload codec failed on it', { cause });
    }
  }
}

function seal(codec: PayloadCodec, text: string, subject: string, info: PayloadInfo): string {
  let bytes: Uint8Array | undefined;
  try {
    bytes = codec.encode(Buffer.from(text), info);
  } catch (cause) {
    throw new SerializationError(subject, 'the payload codec failed on it', { cause });
  }
  if (bytes === undefined) return text;
  if (!isBytes(bytes)) {
    const what = isPromise(bytes) ? 'a promise; it must be synchronous' : 'no Uint8Array';
    throw new SerializationError(subject, `encode of the payload codec returned ${what}`);
  }
  return HEAD + Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64') + TAIL;
}

/**
 * True for a Uint8Array of any realm. Jest has one realm per test file, so `instanceof` is not
 * enough.
 */
function isBytes(value: unknown): value is Uint8Array {
  return types.isUint8Array(value);
}

function unreadable(error: unknown, subject: string): PayloadUnreadableError {
  if (error instanceof PayloadUnreadableError) return new PayloadUnreadableError(subject, error.detail, { cause: error.cause });
  // The message of JSON.parse quotes the text, so it is left out.
  return new PayloadUnreadableError(subject, 'this package has not written it');
}
