import { performance } from 'node:perf_hooks';

const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 2_000;

/**
 * Error codes of a server that answered but did not admit the client: a wrong password, a missing
 * database, or too many connections.
 */
const REFUSED = /^(28|3D|53)/;

/**
 * Error codes for an address without a server. These errors cause no pause: another attempt costs
 * nothing, and the server may return at any moment.
 */
const ABSENT = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN']);

/**
 * Remembers that the server refused a connection, or that no password was available. All pools of
 * the module share one object of this class. After a refusal, connecting fails at once with the
 * same error, until a pause has passed. So a process that cannot log in does not use up the
 * server's connections.
 */
export class Refusals {
  private last: Error | undefined;
  private pauseMs = 0;
  private until = 0;

  /**
   * Returns the error with which connecting must fail now, or undefined when it may be attempted.
   */
  current(): Error | undefined {
    return performance.now() < this.until ? this.last : undefined;
  }

  /** Records the result of an attempt: its error, or undefined after a success. */
  note(error: Error | undefined): void {
    const code = (error as { code?: unknown } | undefined)?.code;
    const isRefusal =
      error !== undefined &&
      (typeof code !== 'string' ? !isSilence(error) : REFUSED.test(code) || !(ABSENT.has(code) || code.length === 5));
    if (!isRefusal) {
      this.pauseMs = 0;
      this.until = 0;
      return;
    }
    this.last = error;
    this.pauseMs = Math.min(this.pauseMs === 0 ? FIRST_PAUSE_MS : this.pauseMs * 2, MAX_PAUSE_MS);
    this.until = performance.now() + this.pauseMs;
  }
}

/** True for errors that pg itself creates when a connection ends or does not answer. */
function isSilence({ message }: Error): boolean {
  return /timeout|terminated/i.test(message);
}
