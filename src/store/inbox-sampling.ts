/**
 * One in this many small messages records the inbox depth of its run, and stands for all of them.
 */
const SAMPLE = 8;
/** Largest size of a message that is sampled. Larger messages always record the depth. */
const SMALL_BYTES = 16_384;
const MAX_MARKS = 1_000;

/**
 * Decides which messages check the depth of their run's inbox. One in eight messages checks it, and
 * every message to a run whose inbox was full at this process's last check.
 */
export class InboxSampling {
  private readonly full = new Set<string>();

  /**
   * Number of messages that the next message to the run stands for. 0 when the message does not
   * check the depth.
   */
  weightOf(runId: string, bytes: number): number {
    if (bytes > SMALL_BYTES || this.full.has(runId)) return 1;
    return Math.random() * SAMPLE < 1 ? SAMPLE : 0;
  }

  /** Records whether a message that checked the depth found the inbox full. */
  found(runId: string, isFull: boolean): void {
    if (!isFull) return void this.full.delete(runId);
    this.full.add(runId);
    const [oldest] = this.full;
    if (this.full.size > MAX_MARKS && oldest !== undefined) this.full.delete(oldest);
  }
}
