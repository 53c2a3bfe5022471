import { performance } from 'node:perf_hooks';

/** How long a run is written apart from others after the database has refused to write it; longer than any pause between two tries. */
const APART_MS = 120_000;
const MAX_RUNS = 1_000;

/**
 * Runs that the database has lately refused to write. What they hand in next is written apart: in a flush
 * with others, it would fail the others too, and cost a search for the culprit each time.
 */
export class RefusedRuns {
  /** Until when, of performance.now(). Oldest first. */
  private readonly until = new Map<string, number>();

  get size(): number {
    return this.until.size;
  }

  note(runId: string): void {
    this.until.delete(runId);
    this.until.set(runId, performance.now() + APART_MS);
    if (this.until.size <= MAX_RUNS) return;
    const [oldest] = this.until.keys();
    this.until.delete(oldest!);
  }

  has(runId: string): boolean {
    const until = this.until.get(runId);
    if (until === undefined) return false;
    if (performance.now() < until) return true;
    this.until.delete(runId);
    return false;
  }
}
