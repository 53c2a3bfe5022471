import { performance } from 'node:perf_hooks';

/** Pauses before a refused change of a run is tried again. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;
/** Milliseconds after its last refusal when a run is forgotten: it may have ended or be deleted. */
const FORGET_AFTER_MS = 300_000;
const MAX_RUNS_PER_CHANGE = 1_000;
const NONE: readonly string[] = [];

interface Refusal {
  readonly since: Date;
  error: unknown;
  pauseMs: number;
  /** Times of the next try and of the last refusal, from performance.now(). */
  tryAt: number;
  refusedAt: number;
}

/** A run whose row the database refused to change together with the rows of other runs. */
export interface UnwritableRun {
  readonly runId: string;
  readonly since: Date;
  readonly error: unknown;
}

/**
 * Runs whose rows the database refuses to change, by the change, such as a claim. A trigger of the
 * application that refuses one run would otherwise fail every statement that includes the run. So
 * these statements leave the run out, and the run is tried separately after a pause.
 */
export class UnwritableRuns {
  /** Receives each run once, when its row is refused for the first time. */
  report: (runId: string, error: unknown) => void = () => undefined;
  private readonly changes = new Map<string, Map<string, Refusal>>();

  /** Runs that statements of this change leave out. */
  of(change: string): readonly string[] {
    const runs = this.changes.get(change);
    if (!runs) return NONE;
    const now = performance.now();
    for (const [runId, { refusedAt }] of runs) if (now - refusedAt > FORGET_AFTER_MS) this.delete(change, runId);
    return [...runs.keys()];
  }

  /** Runs among `of` that may be tried now, up to `limit` runs. */
  due(change: string, limit: number, isWanted: (runId: string) => boolean = () => true): string[] {
    const now = performance.now();
    const due: string[] = [];
    for (const [runId, refusal] of this.changes.get(change) ?? []) {
      if (due.length >= limit) break;
      if (refusal.tryAt > now || !isWanted(runId)) continue;
      refusal.tryAt = now + refusal.pauseMs;
      due.push(runId);
    }
    return due;
  }

  /**
   * Records a refusal.
   *
   * @throws the error when too many runs are refused: then no single run is at fault
   */
  refused(change: string, runId: string, error: unknown): void {
    const isKnown = [...this.changes.values()].some((known) => known.has(runId));
    const runs = this.changes.get(change) ?? new Map<string, Refusal>();
    const before = runs.get(runId);
    if (!before && runs.size >= MAX_RUNS_PER_CHANGE) throw error;
    this.changes.set(change, runs);
    const now = performance.now();
    const pauseMs = before ? Math.min(before.pauseMs * 2, LONGEST_PAUSE_MS) : FIRST_PAUSE_MS;
    runs.set(runId, { since: before?.since ?? new Date(), error, pauseMs, tryAt: now + pauseMs, refusedAt: now });
    if (!isKnown) this.report(runId, error);
  }

  /**
   * Forgets a run that was written. The cause may be gone for all runs, so they are tried at once.
   */
  written(change: string, runId: string): void {
    if (!this.delete(change, runId)) return;
    for (const refusals of this.changes.values()) for (const refusal of refusals.values()) refusal.tryAt = 0;
  }

  /** Returns each run once, up to `limit` runs. */
  list(limit: number): UnwritableRun[] {
    const found = new Map<string, UnwritableRun>();
    for (const [change, runs] of this.changes) {
      this.of(change);
      for (const [runId, { since, error }] of runs) if (found.size < limit && !found.has(runId)) found.set(runId, { runId, since, error });
    }
    return [...found.values()];
  }

  private delete(change: string, runId: string): boolean {
    const runs = this.changes.get(change);
    if (!runs?.delete(runId)) return false;
    if (runs.size === 0) this.changes.delete(change);
    return true;
  }
}
