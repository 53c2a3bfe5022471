import { setTimeout as sleep } from 'node:timers/promises';

import type { DatabaseClock } from '../core/clock.js';
import { ClosedError, DatabaseUnavailableError, FencedError } from '../core/errors/index.js';
import type { Committed, Transition } from '../core/transition.js';
import { faultOf } from './database-errors.js';
import type { Database } from './database.js';
import { toFlushRows } from './flush-rows.js';
import { settleEntries } from './settle-entries.js';
import { flush } from './sql/flush.js';

/** A transition on its way, and who wants to know. */
export interface JournalEntry {
  readonly transition: Transition;
  readonly bytes: number;
  /** The session that owned the run when this was handed in; null for what needs no owner. */
  readonly sessionId: string | null;
  readonly since: number;
  readonly done: (committed: Committed) => void;
  readonly failed: (error: Error) => void;
}

export interface JournalLimits {
  /** Transitions in one flush. */
  readonly members: number;
  /** Payload bytes in one flush. */
  readonly flushBytes: number;
  /** Payload bytes that may wait; beyond that, `ready()` holds callers back. */
  readonly queuedBytes: number;
  /** How long a start is tried while the database cannot be reached. */
  readonly startPatienceMs: number;
}

export const DEFAULT_JOURNAL_LIMITS: JournalLimits = { members: 500, flushBytes: 4 << 20, queuedBytes: 64 << 20, startPatienceMs: 30_000 };

/**
 * The one gate through which transitions become durable. When no flush is under way one starts at once; what arrives meanwhile leaves together
 * in the next. Transitions of one run become durable in the order in which they were handed in.
 */
export class Journal {
  private sessionId: string | null = null;
  private queue: JournalEntry[] = [];
  private queuedBytes = 0;
  private flushing = false;
  private scheduled = false;
  private closed = false;
  /** Runs whose rows somebody else has locked: they are written beside the others until they are free. */
  private readonly aside = new Map<string, JournalEntry[]>();
  private waiters: (() => void)[] = [];
  private drained: (() => void)[] = [];

  constructor(
    private readonly database: Database,
    private readonly clock: DatabaseClock,
    private readonly onFenced: (sessionId: string) => void,
    private readonly limits: JournalLimits = DEFAULT_JOURNAL_LIMITS,
  ) {}

  /** Names the session that owns this process's runs from now on. What was handed in for another is refused. */
  useSession(id: string | null): void {
    this.sessionId = id;
    const stale = this.queue.filter((entry) => entry.sessionId !== null && entry.sessionId !== id);
    if (stale.length === 0) return;
    this.queue = this.queue.filter((entry) => !stale.includes(entry));
    for (const entry of stale) this.refuse(entry, new FencedError('the session has ended'));
  }

  /** Hands in a transition. Exactly one of the two is called, later. */
  submit(transition: Transition, done: (committed: Committed) => void, failed: (error: Error) => void): void {
    const owned = transition.kind !== 'start' || transition.owned;
    const entry: JournalEntry = {
      transition,
      bytes: sizeOf(transition),
      sessionId: owned ? this.sessionId : null,
      since: performance.now(),
      done,
      failed,
    };
    if (this.closed || (owned && this.sessionId === null)) {
      const error = this.closed ? new ClosedError() : new FencedError('there is no session');
      setImmediate(() => entry.failed(error));
      return;
    }
    this.queue.push(entry);
    this.queuedBytes += entry.bytes;
    this.schedule();
  }

  /** Resolves when there is room: at once, unless the database has fallen far behind. */
  async ready(): Promise<void> {
    while (this.queuedBytes >= this.limits.queuedBytes && !this.closed) await new Promise<void>((resolve) => this.waiters.push(resolve));
  }

  /** Resolves when all that was handed in has been written or refused. */
  async drain(): Promise<void> {
    while (this.queue.length > 0 || this.flushing || this.aside.size > 0) await new Promise<void>((resolve) => this.drained.push(resolve));
  }

  /** Refuses everything that has not been written, now and later. */
  close(): void {
    this.closed = true;
    const left = this.queue;
    this.queue = [];
    for (const entry of left) this.refuse(entry, new ClosedError());
    this.wake();
  }

  private schedule(): void {
    if (this.flushing || this.scheduled || this.queue.length === 0) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      if (!this.flushing) void this.flushNext();
    });
  }

  private async flushNext(): Promise<void> {
    const entries = this.take();
    if (entries.length === 0) return this.wake();
    this.flushing = true;
    await this.write(entries);
    this.flushing = false;
    this.wake();
    // One round later: what these results set off is then in the queue as well.
    if (this.queue.length > 0) setImmediate(() => this.schedule());
  }

  /** The oldest entries, as many as fit; those of runs that are written aside join them there. */
  private take(): JournalEntry[] {
    const taken: JournalEntry[] = [];
    let bytes = 0;
    let index = 0;
    for (; index < this.queue.length && taken.length < this.limits.members; index++) {
      const entry = this.queue[index]!;
      if (bytes > 0 && bytes + entry.bytes > this.limits.flushBytes) break;
      const aside = this.aside.get(entry.transition.runId);
      if (aside) {
        aside.push(entry);
        continue;
      }
      bytes += entry.bytes;
      taken.push(entry);
    }
    this.queue = index === this.queue.length ? [] : this.queue.slice(index);
    return taken;
  }

  /** Writes entries until each is settled. Never rejects. */
  private async write(wanted: readonly JournalEntry[]): Promise<void> {
    let entries = wanted;
    for (let tries = 0; entries.length > 0; tries++) {
      try {
        return await this.writeOnce(entries);
      } catch (error) {
        const fault = faultOf(error);
        if (fault === 'data' || fault === 'locked') return this.divide(entries, fault, error as Error);
        if (this.closed) return this.refuseAll(entries, new ClosedError());
        if (fault === 'connection') {
          entries = this.giveUpStarts(entries, error);
          await sleep(Math.min(50 * 2 ** Math.min(tries, 5), 1_000));
        }
      }
    }
  }

  private async writeOnce(entries: readonly JournalEntry[]): Promise<void> {
    const sessionId = entries.find((entry) => entry.sessionId !== null)?.sessionId ?? null;
    const rows = toFlushRows(entries.map((entry) => entry.transition));
    const sentAt = performance.now();
    const result = await flush(this.database, sessionId, rows);
    this.clock.sync(result.now, sentAt);
    await settleEntries(this.database, entries, rows, result);
    for (const entry of entries) this.queuedBytes -= entry.bytes;
    if (sessionId !== null && !result.sessionAlive) this.onFenced(sessionId);
  }

  /** Starts do not wait for ever: their callers would rather know. What a run has done waits as long as it takes. */
  private giveUpStarts(entries: readonly JournalEntry[], cause: unknown): readonly JournalEntry[] {
    const isLate = ({ transition, since }: JournalEntry): boolean =>
      transition.kind === 'start' && performance.now() - since > this.limits.startPatienceMs;
    const late = entries.filter(isLate);
    if (late.length === 0) return entries;
    this.refuseAll(late, new DatabaseUnavailableError('the database could not be reached', { cause }));
    return entries.filter((entry) => !late.includes(entry));
  }

  /** One run's transitions must not hold up or fail the others': halves, until the one is found. */
  private async divide(entries: readonly JournalEntry[], fault: 'data' | 'locked', error: Error): Promise<void> {
    const runs = [...new Set(entries.map((entry) => entry.transition.runId))];
    if (runs.length === 1) {
      if (fault === 'data') return this.refuseAll(entries, error);
      return this.putAside(runs[0]!, entries);
    }
    const first = new Set(runs.slice(0, runs.length >> 1));
    await this.write(entries.filter((entry) => first.has(entry.transition.runId)));
    await this.write(entries.filter((entry) => !first.has(entry.transition.runId)));
  }

  private putAside(runId: string, entries: readonly JournalEntry[]): void {
    if (this.aside.has(runId)) return void this.aside.get(runId)!.unshift(...entries);
    const queue = [...entries];
    this.aside.set(runId, queue);
    const work = async (): Promise<void> => {
      while (queue.length > 0) await this.write(queue.splice(0));
      this.aside.delete(runId);
      this.wake();
    };
    void work();
  }

  private refuseAll(entries: readonly JournalEntry[], error: Error): void {
    for (const entry of entries) this.refuse(entry, error);
  }

  private refuse(entry: JournalEntry, error: Error): void {
    this.queuedBytes -= entry.bytes;
    entry.failed(error);
  }

  private wake(): void {
    const { waiters, drained } = this;
    this.waiters = [];
    this.drained = [];
    for (const resume of waiters) resume();
    for (const resume of drained) resume();
  }
}

const FIXED_BYTES = 200;

function sizeOf(transition: Transition): number {
  switch (transition.kind) {
    case 'start':
      return FIXED_BYTES + transition.run.input.length;
    case 'step':
      return FIXED_BYTES + (transition.step.output?.length ?? 0) + (transition.step.error?.length ?? 0);
    case 'wait':
      return FIXED_BYTES + (transition.event?.data?.length ?? 0);
    case 'change':
      return FIXED_BYTES + ('output' in transition.change ? (transition.change.output?.length ?? 0) + (transition.change.error?.length ?? 0) : 0);
  }
}
