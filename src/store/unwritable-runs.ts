import { performance } from 'node:perf_hooks';

/** Milliseconds until a refused change of a run is tried again for the first time. */
const FIRST_PAUSE_MS = 1_000;
const MAX_PAUSE_MS = 30_000;
/**
 * Milliseconds after the last refusal at which a run is forgotten, because it may have ended or
 * been deleted.
 */
const FORGET_AFTER_MS = 300_000;
const MAX_RUNS_PER_CHANGE = 1_000;
const NONE: readonly string[] = [];

interface Refusal {
  readonly since: Date;
  error: unknown;
  pauseMs: number;
  /**
   * `tryAt`: time of the next try. `refusedAt`: time of the last refusal. Both come from
   * performance.now().
   */
  tryAt: number;
  refusedAt: number;
}

/** A run that the database has refused to change. */
export interface UnwritableRun {
  readonly runId: string;
  readonly since: Date;
  readonly error: unknown;
}

/**
 * Runs that the database has refused to change, for each kind of change, such as a claim. If a
 * trigger of the application refuses one run, every statement that includes this run fails. So
 * later statements leave the run out, and the run is tried separately after a pause.
 */
export class UnwritableRuns {
  /** Called once for each run, when the database first refuses to change it. */
  report: (runId: string, error: unknown) => void = () => undefined;
  private readonly changes = new Map<string, Map<string, Refusal>>();

  /** Returns the runs that statements of this change must leave out. */
  of(change: string): readonly string[] {
    const runs = this.changes.get(change);
    if (!runs) return NONE;
    const now = performance.now();
    for (const [runId, { refusedAt }] of runs) if (now - refusedAt > FORGET_AFTER_MS) this.delete(change, runId);
    return [...runs.keys()];
  }

  /**
   * Returns the refused runs that may be tried again now, at most `limit`. Each returned run then
   * has to wait for its pause again.
   */
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
   * Records that the database refused to change a run.
   *
   * @throws the error when so many runs are refused that no single run can be the cause
   */
  refused(change: string, runId: string, error: unknown): void {
    const isKnown = [...this.changes.values()].some((known) => known.has(runId));
    const runs = this.changes.get(change) ?? new Map<string, Refusal>();
    const before = runs.get(runId);
    if (!before && runs.size >= MAX_RUNS_PER_CHANGE) throw error;
    this.changes.set(change, runs);
    const now = performance.now();
    const pauseMs = before ? Math.min(before.pauseMs * 2, MAX_PAUSE_MS) : FIRST_PAUSE_MS;
    runs.set(runId, { since: before?.since ?? new Date(), error, pauseMs, tryAt: now + pauseMs, refusedAt: now });
    if (!isKnown) this.report(runId, error);
  }

  /**
   * Forgets a run that was changed. The cause may be gone for the other refused runs too, so these
   * runs may be tried again at once.
   */
  written(change: string, runId: string): void {
    if (!this.delete(change, runId)) return;
    for (const refusals of this.changes.values()) for (const refusal of refusals.values()) refusal.tryAt = 0;
  }

  /** Returns each refused run once, at most `limit` runs. */
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
