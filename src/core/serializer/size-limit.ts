import { PayloadTooLargeError } from '../errors/index.js';

/**
 * Counts what the text of a value takes at least, while the value is encoded, so that a value that is far too large is refused before
 * its text is built. The count never exceeds the size of the finished text.
 */
export class SizeLimit {
  private left: number;

  /** @param maxBytes infinity where nothing is limited */
  constructor(
    private readonly subject: string,
    private readonly maxBytes: number,
  ) {
    this.left = maxBytes;
  }

  /** @throws PayloadTooLargeError when more has been spent than there is */
  spend(bytes: number): void {
    this.left -= bytes;
    if (this.left < 0) throw this.exceeded(0);
  }

  /** Refuses what could not be spent, and spends nothing. @throws PayloadTooLargeError */
  expect(bytes: number): void {
    if (bytes > this.left) throw this.exceeded(bytes);
  }

  /** Executes code that may spend at most so much, and nothing of what is left here. */
  within<T>(bytes: number, code: () => T): T {
    const outer = this.left;
    this.left = bytes;
    try {
      return code();
    } finally {
      this.left = outer;
    }
  }

  private exceeded(bytes: number): PayloadTooLargeError {
    return new PayloadTooLargeError(this.subject, Math.max(this.maxBytes - this.left + bytes, this.maxBytes + 1), this.maxBytes, 'least');
  }
}
