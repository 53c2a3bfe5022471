import { performance } from 'node:perf_hooks';

import { faultOf, wasAtARow } from './database-errors.js';
import { partition } from './journal-batch.js';
import type { JournalEntry } from './journal-entry.js';

/** Longest pause between two tries to write the same run, in milliseconds. */
const MAX_PAUSE_MS = 1_000;
/** Milliseconds after which a lock held by another transaction is reported. */
const REPORT_LOCK_AFTER_MS = 10_000;

/**
 * Finds the runs that may have made a statement fail, although no row of its runs is locked. The
 * statement failed because it could not acquire a lock, or because the server cancelled it. `none`
 * means that no single run is the cause. `unclear` means that one of several runs is the cause.
 */
export function runsAtFault(entries: readonly JournalEntry[], runIds: readonly string[], error: unknown): Set<string> | 'none' | 'unclear' {
  const isLock = faultOf(error) === 'locked';
  // The statement waited for a lock on a whole table, which is no run's fault.
  if (isLock && !wasAtARow(error)) return 'none';
  if (runIds.length === 1) return new Set(runIds);
  // No row is locked. So if the entries contain starts, one of them waited for an open transaction
  // that is inserting a run with the same id.
  const starts = entries.filter(({ transition }) => transition.kind === 'start').map(({ transition }) => transition.runId);
  return isLock && starts.length > 0 ? new Set(starts) : 'unclear';
}

interface Tries {
  /** Number of failed tries during which no row of the run was locked. */
  count: number;
  /** Time when the run was first deferred, from performance.now(). */
  since: number;
  notBefore: number;
  cause: unknown;
  reported: boolean;
}

/**
 * Runs that must be written separately from others. Either another transaction has locked the run's
 * row, or the server cancels statements that write the run, or the database has recently refused
 * the run. The transitions of such a run wait here, in order.
 */
export class DeferredRuns {
  /** Waiting transitions of each run. takeBatch() adds new transitions of these runs here. */
  readonly entries = new Map<string, JournalEntry[]>();
  private readonly tries = new Map<string, Tries>();

  get size(): number {
    return this.entries.size;
  }

  /**
   * Defers transitions. Puts them before the waiting transitions of the same run, which were handed
   * in later.
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
   * wait here.
   */
  putAfter(entry: JournalEntry, later: readonly JournalEntry[]): void {
    const waiting = this.entries.get(entry.transition.runId) ?? [];
    waiting.splice(waiting.indexOf(entry) + 1, 0, ...later);
    this.entries.set(entry.transition.runId, waiting);
  }

  /** Defers transitions. Puts them after the waiting transitions of the same run. */
  join(entries: readonly JournalEntry[]): void {
    for (const entry of entries) {
      const { runId } = entry.transition;
      const waiting = this.entries.get(runId);
      if (waiting) waiting.push(entry);
      else this.entries.set(runId, [entry]);
    }
  }

  /**
   * Counts a failed try during which no row of the run was locked. Each such try makes the pause
   * before the next try longer.
   */
  backOff(runId: string): void {
    const tries = this.tries.get(runId);
    if (!tries) return;
    tries.count++;
    tries.notBefore = performance.now() + Math.min(50 * 2 ** Math.min(tries.count, 10), MAX_PAUSE_MS);
  }

  /** Returns the runs that may be tried now. */
  due(): string[] {
    const now = performance.now();
    return [...this.entries.keys()].filter((runId) => (this.tries.get(runId)?.notBefore ?? 0) <= now);
  }

  /** Returns the error because of which the run waits. */
  causeOf(runId: string): unknown {
    return this.tries.get(runId)?.cause;
  }

  /**
   * Returns the runs that have waited long for another transaction's lock. Returns each run only
   * once.
   */
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
   * Takes the next transitions of the run, up to the first one that changes the run's row. One
   * statement can change the row only once.
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

  /** Forgets runs whose transitions have all been written or removed. */
  forgetEmpty(): void {
    for (const [runId, entries] of this.entries) {
      if (entries.length > 0) continue;
      this.entries.delete(runId);
      this.tries.delete(runId);
    }
  }
}
