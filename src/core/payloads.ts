import { types } from 'node:util';

import { PayloadTooLargeError, PayloadUnreadableError, SerializationError } from './errors/index.js';
import { isPromise } from './async.js';
import { isStoredBatch, joinBatch, splitBatch } from './batch.js';
import { decode, decodeError, decodeErrorExactly, encode, encodeError } from './serializer/index.js';

/** Run and kind of a payload, passed to the `encode` of a codec. */
export interface PayloadInfo {
  /** Id of the run; an empty text for an event, which belongs to no run. */
  readonly runId: string;
  /**
   * Kind of the payload. A `message` is the payload of a signal or of a hook. A `chunk` was written
   * to a stream. An `event` is the payload of an emitted event.
   */
  readonly kind: 'input' | 'output' | 'error' | 'message' | 'chunk' | 'event';
}

/**
 * Transforms payloads before they are stored and after they are read, for example by encryption or
 * compression. Both methods are synchronous, because every step calls them. Fetch encryption keys
 * before the application boots, and keep the keys in the codec.
 */
export interface PayloadCodec {
  /**
   * Encodes a payload for the database.
   *
   * @param payload JSON text as UTF-8
   * @returns the bytes to store, or undefined to store the payload as plain JSON
   */
  encode(payload: Uint8Array, info: PayloadInfo): Uint8Array | undefined;
  /**
   * Returns the original payload from the bytes that `encode` returned. Those bytes may be from
   * another process and years old, so old encryption keys must be kept. Throws when the bytes
   * cannot be decoded.
   */
  decode(stored: Uint8Array): Uint8Array;
}

/**
 * Start of the stored text of a payload that a codec has encoded. The text of plain data never
 * starts like this, because the serializer escapes the key `$durable` in data.
 */
const HEAD = '{"$durable":"encoded","value":"';
const TAIL = '"}';

/**
 * Converts payloads to their stored form and back. The stored form is JSON text within the size
 * limit, encoded by the codec if there is one.
 */
export class Payloads {
  constructor(
    /**
     * Largest payload, in bytes of JSON. The size is measured before the codec encodes the payload,
     * so that the limit does not depend on the codec.
     */
    readonly maxBytes: number,
    private readonly codec: PayloadCodec | undefined,
  ) {}

  /**
   * Encodes a value as the text to store.
   *
   * @param subject the name of the value in errors: `input`
   * @param maxBytes largest size, in bytes of JSON (default: the limit of all payloads)
   * @throws SerializationError when the value cannot be stored or the codec fails
   * @throws PayloadTooLargeError when the value is larger than `maxBytes`
   */
  encode(value: unknown, subject: string, runId: string, kind: Exclude<PayloadInfo['kind'], 'error'>, maxBytes = this.maxBytes): string {
    const text = encode(value, subject, maxBytes);
    const bytes = text.length * 3 > maxBytes ? Buffer.byteLength(text) : 0;
    if (bytes > maxBytes) throw new PayloadTooLargeError(subject, bytes, maxBytes);
    return this.codec ? seal(this.codec, text, subject, { runId, kind }) : text;
  }

  /** Encodes the values of a batch, each as a payload of its own. */
  encodeBatch(values: readonly unknown[], subject: string, runId: string, kind: Exclude<PayloadInfo['kind'], 'error'>): string {
    return joinBatch(values.map((value, index) => this.encode(value, `${subject}[${index}]`, runId, kind)));
  }

  /**
   * Decodes a stored payload. Returns an array for a batch.
   *
   * @throws PayloadUnreadableError when this process cannot read the payload
   */
  decode(stored: string, subject: string): unknown {
    if (isStoredBatch(stored)) return splitBatch(stored).map((value, index) => this.decode(value, `${subject}[${index}]`));
    try {
      return decode(this.open(stored, subject));
    } catch (error) {
      throw unreadable(error, subject);
    }
  }

  /**
   * Returns the text to store for an error. Never throws. When the codec fails, the stored error
   * has a fixed message and no data. The original message and data must not reach the database as
   * plain text.
   */
  encodeError(error: unknown, runId: string): string {
    return this.sealError(encodeError(error), runId);
  }

  /**
   * Encodes the error of a failed run. `stored` is the text for the database, encoded by the codec.
   * `plain` is an Error that was rebuilt from the same text, without the codec. The labels of the
   * run are taken from `plain`, because getters of the thrown value may throw.
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
   * Decodes a stored error with all its parts.
   *
   * @throws PayloadUnreadableError when this process cannot read a part of the error
   */
  decodeError(stored: string): Error {
    try {
      return decodeErrorExactly(this.open(stored, 'error'));
    } catch (error) {
      throw unreadable(error, 'error');
    }
  }

  /**
   * Returns as much of a stored error as this process can read, for display. Returns a
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
   * Returns the JSON text of a stored payload. A payload that no codec has encoded is JSON text
   * already, for example one that was stored before the application had a codec.
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
      // The PayloadUnreadableError appears in logs, so its text omits the message of the codec's
      // error. That message may quote the payload.
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
 * True for a Uint8Array of any realm. `instanceof` is false for an array of another realm, and Jest
 * gives each test file a realm of its own.
 */
function isBytes(value: unknown): value is Uint8Array {
  return types.isUint8Array(value);
}

function unreadable(error: unknown, subject: string): PayloadUnreadableError {
  if (error instanceof PayloadUnreadableError) return new PayloadUnreadableError(subject, error.detail, { cause: error.cause });
  // The PayloadUnreadableError appears in logs, so it omits the error of JSON.parse. The message of
  // that error quotes the payload.
  return new PayloadUnreadableError(subject, 'this package has not written it');
}
