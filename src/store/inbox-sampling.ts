/**
 * Sampling interval: on average, one small message in this number checks its run's inbox. That
 * message counts for all of them.
 */
const MESSAGES_PER_SAMPLE = 8;
/**
 * Largest size, in bytes, of a message that may skip the check. A larger message always checks the
 * inbox.
 */
const SMALL_BYTES = 16_384;
const MAX_MARKS = 1_000;

/**
 * Decides which messages check their run's inbox, that is, count its unread messages. On average,
 * every eighth message does. If the last check of this process found a run's inbox full, each
 * message to that run checks it.
 */
export class InboxSampling {
  private readonly full = new Set<string>();

  /**
   * Returns the number of messages for which this message counts, or 0 when it does not check the
   * inbox.
   */
  weightOf(runId: string, bytes: number): number {
    if (bytes > SMALL_BYTES || this.full.has(runId)) return 1;
    return Math.random() * MESSAGES_PER_SAMPLE < 1 ? MESSAGES_PER_SAMPLE : 0;
  }

  /** Remembers the result of a check: whether the run's inbox has room for another message. */
  found(runId: string, state: 'full' | 'hasRoom'): void {
    if (state === 'hasRoom') return void this.full.delete(runId);
    this.full.add(runId);
    const [oldest] = this.full;
    if (this.full.size > MAX_MARKS && oldest !== undefined) this.full.delete(oldest);
  }
}
