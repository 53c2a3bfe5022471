import { PayloadUnreadableError } from './errors/index.js';
import { Payloads, type PayloadCodec } from './payloads.js';

/** Largest payload of a signal, in bytes of JSON: the default of the module. */
const MAX_BYTES = 4 << 20;

/** Stands for a payload that this process cannot read. */
export class UnreadablePayload {
  constructor(
    /** Reason, such as a codec that only the application has. */
    readonly unreadable: string,
  ) {}
}

/**
 * Payloads as far as a reader can read or may read them. A command has neither the codec nor the
 * registered classes of the application. The dashboard does not use the codec unless it is told to.
 * Both show what they can, and do not fail because of one payload.
 */
export class ReadablePayloads extends Payloads {
  constructor(codec?: PayloadCodec) {
    super(MAX_BYTES, codec);
  }

  override decode(stored: string, subject: string): unknown {
    try {
      return super.decode(stored, subject);
    } catch (error) {
      if (error instanceof PayloadUnreadableError) return new UnreadablePayload(error.message);
      throw error;
    }
  }
}
