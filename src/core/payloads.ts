import { types } from 'node:util';

import { PayloadTooLargeError, PayloadUnreadableError, SerializationError } from './errors/index.js';
import { isPromise } from './async.js';
import { decode, decodeError, decodeErrorExactly, encode, encodeError } from './serializer/index.js';

/** What a codec is told of a payload. */
export interface PayloadInfo {
  readonly runId: string;
  readonly kind: 'input' | 'output' | 'error' | 'message';
}

/**
 * What happens to payloads between this process and the database: encryption, compression. Synchronous, because it is part of every step: fetch keys
 * before the application boots, and have the codec keep them.
 */
export interface PayloadCodec {
  /**
   * The bytes to store.
   *
   * @param payload JSON text as UTF-8
   * @returns undefined to store the payload as the JSON that it is
   */
  encode(payload: Uint8Array, info: PayloadInfo): Uint8Array | undefined;
  /** What `encode` was given, from what it returned: by this process or another, today or a year ago. Throws when it cannot. */
  decode(stored: Uint8Array): Uint8Array;
}

/** Data never reads so: the serializer escapes objects that have the key. */
const HEAD = '{"$durable":"encoded","value":"';
const TAIL = '"}';

/** Payloads as they are stored: JSON text within the limit, through the codec where there is one. */
export class Payloads {
  constructor(
    /** The largest input or output, in bytes of JSON: before the codec, so that the limit does not depend on it. */
    readonly maxBytes: number,
    private readonly codec: PayloadCodec | undefined,
  ) {}

  /**
   * The text to store.
   *
   * @param subject how errors name it: `input`
   * @throws SerializationError, PayloadTooLargeError
   */
  encode(value: unknown, subject: string, runId: string, kind: 'input' | 'output' | 'message'): string {
    const text = encode(value, subject, this.maxBytes);
    const bytes = text.length * 3 > this.maxBytes ? Buffer.byteLength(text) : 0;
    if (bytes > this.maxBytes) throw new PayloadTooLargeError(subject, bytes, this.maxBytes);
    return this.codec ? seal(this.codec, text, subject, { runId, kind }) : text;
  }

  /** @throws PayloadUnreadableError */
  decode(stored: string, subject: string): unknown {
    try {
      return decode(this.open(stored, subject));
    } catch (error) {
      throw unreadable(error, subject);
    }
  }

  /** Never throws. What the codec fails on is stored without its message and data, which must not get into the database in plain text. */
  encodeError(error: unknown, runId: string): string {
    return this.sealError(encodeError(error), runId);
  }

  /**
   * The same, with the error as it was before the codec, for the labels of a failed run. It is what is stored, not what was thrown: that may be anything,
   * and refuse to be looked at.
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

  /** The error as it was stored. @throws PayloadUnreadableError */
  decodeError(stored: string): Error {
    try {
      return decodeErrorExactly(this.open(stored, 'error'));
    } catch (error) {
      throw unreadable(error, 'error');
    }
  }

  /** For people: as much of the error as this process can read; at worst the PayloadUnreadableError. Never throws. */
  showError(stored: string): Error {
    try {
      return decodeError(this.open(stored, 'error'));
    } catch (error) {
      return unreadable(error, 'error');
    }
  }

  /** The JSON text. What was stored before there was a codec, or is none of its, is that already. */
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
      // Its message is left out: what a codec says may quote what it failed on, and this ends up in logs.
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

/** Of any realm: Jest has one per test file. */
function isBytes(value: unknown): value is Uint8Array {
  return types.isUint8Array(value);
}

function unreadable(error: unknown, subject: string): PayloadUnreadableError {
  if (error instanceof PayloadUnreadableError) return new PayloadUnreadableError(subject, error.detail, { cause: error.cause });
  // What JSON.parse says quotes the text.
  return new PayloadUnreadableError(subject, 'it is not what this package writes');
}
