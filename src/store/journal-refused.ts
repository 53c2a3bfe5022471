import { performance } from 'node:perf_hooks';

/**
 * Milliseconds for which a run is written separately after the database has refused to write it. It
 * exceeds the longest pause between two tries, so a run that is refused again and again stays
 * separate.
 */
const SEPARATE_MS = 120_000;
const MAX_RUNS = 1_000;

/**
 * Runs that the database has recently refused to write. Their next transitions are written
 * separately from other runs. If they shared a flush with other runs, another refusal would make
 * the whole flush fail. The search for the run at fault would then take several more statements.
 */
export class RefusedRuns {
  /**
   * Time, from performance.now(), until which each run counts as refused. The run with the earliest
   * time comes first.
   */
  private readonly until = new Map<string, number>();

  get size(): number {
    return this.until.size;
  }

  note(runId: string): void {
    this.until.delete(runId);
    this.until.set(runId, performance.now() + SEPARATE_MS);
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
