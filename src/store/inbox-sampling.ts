/** Of small messages one in so many notes the run's depth, and stands for that many. */
const SAMPLE = 8;
/** Larger messages always note it. */
const SMALL_BYTES = 16_384;
const MAX_MARKS = 1_000;

/** Decides which messages look at the depth of their run's inbox: one in eight, and all for a run that was full when this process last looked. */
export class InboxSampling {
  private readonly full = new Set<string>();

  /** For how many messages the next one to that run stands; 0 when it does not look. */
  weightOf(runId: string, bytes: number): number {
    if (bytes > SMALL_BYTES || this.full.has(runId)) return 1;
    return Math.random() * SAMPLE < 1 ? SAMPLE : 0;
  }

  /** A message that looked found the run full, or not. */
  found(runId: string, isFull: boolean): void {
    if (!isFull) return void this.full.delete(runId);
    this.full.add(runId);
    const [oldest] = this.full;
    if (this.full.size > MAX_MARKS && oldest !== undefined) this.full.delete(oldest);
  }
}
