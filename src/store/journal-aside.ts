import { performance } from 'node:perf_hooks';

import { faultOf, wasAtARow } from './database-errors.js';
import { partition } from './journal-batch.js';
import type { JournalEntry } from './journal-entry.js';

/** Longest pause between two tries of one run. */
const MAX_PAUSE_MS = 1_000;
/** Somebody's lock is reported after so long. */
const REPORT_LOCK_AFTER_MS = 10_000;

/**
 * Finds the runs that may be at fault where a lock was not had, or the server cancelled the statement,
 * although no run of the statement is locked. `none` means the trouble is not with single runs,
 * `unclear` that it is with one of several.
 */
export function suspectsOf(entries: readonly JournalEntry[], runIds: readonly string[], error: unknown): Set<string> | 'none' | 'unclear' {
  const isLock = faultOf(error) === 'locked';
  // On a whole table.
  if (isLock && !wasAtARow(error)) return 'none';
  if (runIds.length === 1) return new Set(runIds);
  // Only a start can meet an id that an open transaction is creating.
  const starts = entries.filter(({ transition }) => transition.kind === 'start').map(({ transition }) => transition.runId);
  return isLock && starts.length > 0 ? new Set(starts) : 'unclear';
}

interface Tries {
  /** Tries that failed although no row of the run was locked. */
  count: number;
  /** Of performance.now(). */
  since: number;
  notBefore: number;
  cause: unknown;
  reported: boolean;
}

/**
 * Runs that are not written beside others: somebody has locked their rows, or the server cancels each
 * statement that would write them, or has lately refused to write them. Transitions of such a run wait here, in their order.
 */
export class RunsAside {
  /** Transitions by run; what arrives for such a run joins them (journal-batch.ts). */
  readonly entries = new Map<string, JournalEntry[]>();
  private readonly tries = new Map<string, Tries>();

  get size(): number {
    return this.entries.size;
  }

  /** Puts transitions before those of their runs that wait already: those came later. */
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

  /** Puts transitions of one run behind `entry`, or before all that wait where `entry` does not wait. */
  putAfter(entry: JournalEntry, later: readonly JournalEntry[]): void {
    const waiting = this.entries.get(entry.transition.runId) ?? [];
    waiting.splice(waiting.indexOf(entry) + 1, 0, ...later);
    this.entries.set(entry.transition.runId, waiting);
  }

  /** Puts transitions after those of their runs that wait already. */
  join(entries: readonly JournalEntry[]): void {
    for (const entry of entries) {
      const { runId } = entry.transition;
      const waiting = this.entries.get(runId);
      if (waiting) waiting.push(entry);
      else this.entries.set(runId, [entry]);
    }
  }

  /** Notes that the run could not be written although no row of it was locked: the next try waits, longer each time. */
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

  /** Why the run waits. */
  causeOf(runId: string): unknown {
    return this.tries.get(runId)?.cause;
  }

  /** Runs that have waited for somebody's lock for long, each once. */
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

  /** The run's next transitions, up to the first change of its row: one statement takes no more. */
  take(runId: string): JournalEntry[] {
    const entries = this.entries.get(runId) ?? [];
    const change = entries.findIndex((entry) => entry.transition.kind === 'change');
    this.entries.set(runId, change < 0 ? [] : entries.splice(change + 1));
    return entries;
  }

  /** Takes out the transitions that `isWanted` accepts. */
  remove(isWanted: (entry: JournalEntry) => boolean): JournalEntry[] {
    const removed: JournalEntry[] = [];
    for (const [runId, entries] of this.entries) {
      const [wanted, rest] = partition(entries, isWanted);
      removed.push(...wanted);
      this.entries.set(runId, rest);
    }
    return removed;
  }

  /** Forgets runs of which nothing waits any more. */
  forgetEmpty(): void {
    for (const [runId, entries] of this.entries) {
      if (entries.length > 0) continue;
      this.entries.delete(runId);
      this.tries.delete(runId);
    }
  }
}
