import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';

import type { PayloadCodec } from 'nestjs-durable';

/** Size from which compression saves more than it costs. */
const COMPRESS_FROM_BYTES = 1_024;
const PLAIN = 0;
const BROTLI = 1;
const IV_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Encrypts payloads with AES-256-GCM, and compresses large ones with brotli before that.
 *
 * Stored: the kind of packing, the key's id with its length, IV, cipher text, tag. To rotate keys,
 * add a key and make it current. Keep the old keys as long as payloads that they encrypted exist.
 */
export class EncryptedPayloads implements PayloadCodec {
  constructor(
    private readonly keys: ReadonlyMap<string, Uint8Array>,
    private readonly currentKey: string,
  ) {}

  encode(payload: Uint8Array): Uint8Array {
    const packing = payload.length >= COMPRESS_FROM_BYTES ? BROTLI : PLAIN;
    const packed = packing === BROTLI ? brotliCompressSync(payload, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } }) : payload;
    const keyId = Buffer.from(this.currentKey);
    const head = Buffer.concat([Buffer.from([packing, keyId.length]), keyId]);
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.key(this.currentKey), iv).setAAD(head);
    return Buffer.concat([head, iv, cipher.update(packed), cipher.final(), cipher.getAuthTag()]);
  }

  decode(stored: Uint8Array): Uint8Array {
    const bytes = Buffer.from(stored);
    const [packing, keyIdLength] = [bytes.readUInt8(0), bytes.readUInt8(1)];
    const head = bytes.subarray(0, 2 + keyIdLength);
    const iv = bytes.subarray(head.length, head.length + IV_BYTES);
    const text = bytes.subarray(head.length + IV_BYTES, bytes.length - TAG_BYTES);
    const decipher = createDecipheriv('aes-256-gcm', this.key(head.subarray(2).toString()), iv)
      .setAAD(head)
      .setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
    const packed = Buffer.concat([decipher.update(text), decipher.final()]);
    return packing === BROTLI ? brotliDecompressSync(packed) : packed;
  }

  private key(id: string): Uint8Array {
    const key = this.keys.get(id);
    if (!key) throw new Error(`there is no key "${id}"`);
    return key;
  }
}
