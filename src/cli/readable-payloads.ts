import { PayloadUnreadableError } from '../core/errors/index.js';
import { Payloads } from '../core/payloads.js';

/** Largest payload of a signal, in bytes of JSON: the default of the module. */
const MAX_BYTES = 4 << 20;

/** Stands for a payload that this process cannot read. */
class UnreadablePayload {
  constructor(
    /** Reason, such as a codec that only the application has. */
    readonly unreadable: string,
  ) {}
}

/**
 * Payloads as far as a process without the application's code can read them. The codec and the
 * registered classes are part of the application. A command shows what it can, and does not fail
 * because of one payload.
 */
export class ReadablePayloads extends Payloads {
  constructor() {
    super(MAX_BYTES, undefined);
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
