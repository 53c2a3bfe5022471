import type { Committed } from '../core/transition.js';
import { partition } from './journal-batch.js';
import { reportOutcome, type JournalEntry } from './journal-entry.js';
import type { SessionFence } from './session-fence.js';

/**
 * Transitions (changes of runs) that wait to be written, and the session that now owns this
 * process's runs.
 */
export class JournalQueue {
  fence: SessionFence | null = null;
  /** Waiting transitions, oldest first. */
  entries: JournalEntry[] = [];
  isClosed = false;
  /**
   * Payload bytes of all transitions without an outcome, including transitions that are being
   * written or are deferred.
   */
  bytes = 0;
  private waiters: (() => void)[] = [];

  push(entry: JournalEntry): void {
    this.bytes += entry.bytes;
    this.entries.push(entry);
  }

  /** Removes and returns the entries that `isWanted` accepts. */
  remove(isWanted: (entry: JournalEntry) => boolean): JournalEntry[] {
    const [wanted, rest] = partition(this.entries, isWanted);
    this.entries = rest;
    return wanted;
  }

  /** True when the entry was handed in for a session that has ended. */
  isStale({ sessionId }: JournalEntry): boolean {
    return sessionId !== null && sessionId !== this.fence?.id;
  }

  settle(entry: JournalEntry, outcome: Committed | Error): void {
    this.bytes -= entry.bytes;
    reportOutcome(entry, outcome);
  }

  refuse(entries: readonly JournalEntry[], error: Error): void {
    for (const entry of entries) this.settle(entry, error);
  }

  /** Resolves when the next flush has ended, or when the journal is closed. */
  nextProgress(): Promise<void> {
    return new Promise((resolve) => this.waiters.push(resolve));
  }

  progressed(): void {
    for (const resume of this.waiters.splice(0)) resume();
  }
}
