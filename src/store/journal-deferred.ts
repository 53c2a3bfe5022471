import { performance } from 'node:perf_hooks';

import { faultOf, wasAtARow } from './database-errors.js';
import { partition } from './journal-batch.js';
import type { JournalEntry } from './journal-entry.js';

/** Longest pause between two tries of one run. */
const MAX_PAUSE_MS = 1_000;
/** Milliseconds after which a lock held by another transaction is reported. */
const REPORT_LOCK_AFTER_MS = 10_000;

/**
 * Finds the runs that may be at fault when a lock was not acquired or the server cancelled the
 * statement, although no run of the statement is locked. `none` means that no single run causes the
 * trouble. `unclear` means that one of several runs does.
 */
export function runsAtFault(entries: readonly JournalEntry[], runIds: readonly string[], error: unknown): Set<string> | 'none' | 'unclear' {
  const isLock = faultOf(error) === 'locked';
  // The lock was on a whole table.
  if (isLock && !wasAtARow(error)) return 'none';
  if (runIds.length === 1) return new Set(runIds);
  // Only a start can wait for an id that an open transaction is inserting.
  const starts = entries.filter(({ transition }) => transition.kind === 'start').map(({ transition }) => transition.runId);
  return isLock && starts.length > 0 ? new Set(starts) : 'unclear';
}

interface Tries {
  /** Number of tries that failed although no row of the run was locked. */
  count: number;
  /** Time of the first deferral, from performance.now(). */
  since: number;
  notBefore: number;
  cause: unknown;
  reported: boolean;
}

/**
 * Runs that cannot be written together with others. Their rows are locked by others, or the server
 * cancels each statement that would write them, or it has recently refused to write them.
 * Transitions of such a run wait here, in their order.
 */
export class DeferredRuns {
  /** Transitions by run. New transitions of such a run are added here (journal-batch.ts). */
  readonly entries = new Map<string, JournalEntry[]>();
  private readonly tries = new Map<string, Tries>();

  get size(): number {
    return this.entries.size;
  }

  /**
   * Defers transitions. They go before the transitions of their runs that already wait, because
   * those were handed in later.
   */
  put(entries: readonly JournalEntry[], cause: unknown): void {
    for (const entry of entries.toReversed()) {
      const { runId } = entry.transition;
      this.entries.set(runId, [entry, ...(this.entries.get(runId) ?? [])]);
      const tries = this.tries.get(runId) ?? { count: 0, since: performance.now(), notBefore: 0, cause, reported: false };
      tries.cause = cause;
      this.tries.set(runId, tries);
    }
  }

  isWaiting(runId: string): boolean {
    return (this.entries.get(runId)?.length ?? 0) > 0;
  }

  /**
   * Puts transitions of one run after `entry`, or before all waiting ones when `entry` does not
   * wait.
   */
  putAfter(entry: JournalEntry, later: readonly JournalEntry[]): void {
    const waiting = this.entries.get(entry.transition.runId) ?? [];
    waiting.splice(waiting.indexOf(entry) + 1, 0, ...later);
    this.entries.set(entry.transition.runId, waiting);
  }

  /** Defers transitions after those of their runs that already wait. */
  join(entries: readonly JournalEntry[]): void {
    for (const entry of entries) {
      const { runId } = entry.transition;
      const waiting = this.entries.get(runId);
      if (waiting) waiting.push(entry);
      else this.entries.set(runId, [entry]);
    }
  }

  /**
   * Records that the run could not be written although no row of it was locked. Each such failure
   * makes the pause before the next try longer.
   */
  backOff(runId: string): void {
    const tries = this.tries.get(runId);
    if (!tries) return;
    tries.count++;
    tries.notBefore = performance.now() + Math.min(50 * 2 ** Math.min(tries.count, 10), MAX_PAUSE_MS);
  }

  /** Runs that may be tried now. */
  due(): string[] {
    const now = performance.now();
    return [...this.entries.keys()].filter((runId) => (this.tries.get(runId)?.notBefore ?? 0) <= now);
  }

  /** Error because of which the run waits. */
  causeOf(runId: string): unknown {
    return this.tries.get(runId)?.cause;
  }

  /** Runs that have waited long for a lock of another transaction. Returns each run once. */
  longLocked(): string[] {
    const now = performance.now();
    const found: string[] = [];
    for (const [runId, tries] of this.tries) {
      if (tries.reported || tries.count > 0 || now - tries.since < REPORT_LOCK_AFTER_MS) continue;
      tries.reported = true;
      found.push(runId);
    }
    return found;
  }

  /**
   * Takes the run's next transitions, up to the first change of its row: one statement can change
   * the row only once.
   */
  take(runId: string): JournalEntry[] {
    const entries = this.entries.get(runId) ?? [];
    const change = entries.findIndex((entry) => entry.transition.kind === 'change');
    this.entries.set(runId, change < 0 ? [] : entries.splice(change + 1));
    return entries;
  }

  /** Removes and returns the transitions that `isWanted` accepts. */
  remove(isWanted: (entry: JournalEntry) => boolean): JournalEntry[] {
    const removed: JournalEntry[] = [];
    for (const [runId, entries] of this.entries) {
      const [wanted, rest] = partition(entries, isWanted);
      removed.push(...wanted);
      this.entries.set(runId, rest);
    }
    return removed;
  }

  /** Forgets runs that have no waiting transitions. */
  forgetEmpty(): void {
    for (const [runId, entries] of this.entries) {
      if (entries.length > 0) continue;
      this.entries.delete(runId);
      this.tries.delete(runId);
    }
  }
}
