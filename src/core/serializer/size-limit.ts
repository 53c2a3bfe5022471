import { PayloadTooLargeError } from '../errors/index.js';

/**
 * Counts a lower bound for the size of the text while a value is encoded. A value that is far too
 * large is thus refused before its text is built. The count never exceeds the size of the finished
 * text, so a value that fits is never refused.
 */
export class SizeLimit {
  private left: number;

  /** @param maxBytes the limit; infinity for no limit */
  constructor(
    private readonly subject: string,
    private readonly maxBytes: number,
  ) {
    this.left = maxBytes;
  }

  /**
   * Counts bytes.
   *
   * @throws PayloadTooLargeError when the limit is exceeded
   */
  spend(bytes: number): void {
    this.left -= bytes;
    if (this.left < 0) throw this.exceeded(0);
  }

  /**
   * Checks that the bytes would fit, without counting them.
   *
   * @throws PayloadTooLargeError when the bytes do not fit
   */
  expect(bytes: number): void {
    if (bytes > this.left) throw this.exceeded(bytes);
  }

  /**
   * Calls a function with a separate limit. The bytes that the function counts do not count towards
   * the outer limit.
   */
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
