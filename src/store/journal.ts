import { performance } from 'node:perf_hooks';
import { setImmediate } from 'node:timers';
import { setTimeout as sleep } from 'node:timers/promises';

import type { DatabaseClock } from '../core/clock.js';
import { ClosedError, DatabaseUnavailableError, FencedError } from '../core/errors/index.js';
import type { Committed, Transition } from '../core/transition.js';
import { faultOf } from './database-errors.js';
import type { Database } from './database.js';
import { toFlushRows } from './flush-rows.js';
import { DEFAULT_JOURNAL_LIMITS, takeBatch, type JournalLimits } from './journal-batch.js';
import { sizeOf, type JournalEntry } from './journal-entry.js';
import type { SessionFence } from './session-fence.js';
import { outcomesOf } from './settle-entries.js';
import { flush } from './sql/flush.js';
import { findLockedRuns } from './sql/free-runs.js';

/** With one flush at a time this process idles while the server works, and the other way round. */
const LANES = 2;
const SECOND_LANE_FROM = 100;

/** How often runs that somebody else has locked are looked at again. */
const ASIDE_PAUSE_MS = 50;

/** What a journal tells its surroundings. */
export interface JournalEvents {
  /** The session is gone: nothing of its runs has been written. */
  fenced(sessionId: string): void;
  /**
   * Another server answers than the one that the session was last seen on, and nothing of its runs has been written. Resolves when `useSession` has
   * been called with what holds there.
   */
  moved(): Promise<void>;
  /** The database cannot be reached, or refuses; it is tried again. */
  trouble(error: unknown): void;
}

/**
 * The one gate through which transitions become durable. When no flush is under way one starts at once; what arrives meanwhile leaves together
 * in the next. Transitions of one run become durable in the order in which they were handed in.
 */
export class Journal {
  private fence: SessionFence | null = null;
  private queue: JournalEntry[] = [];
  private queuedBytes = 0;
  /** How many flushes are under way, and the runs that they carry: the next transitions of those wait. */
  private flushes = 0;
  private readonly inFlight = new Set<string>();
  private scheduled = false;
  private closed = false;
  /** Runs whose rows somebody else has locked: they wait beside the others until they are free. */
  private readonly aside = new Map<string, JournalEntry[]>();
  private watchingAside = false;
  private waiters: (() => void)[] = [];

  constructor(
    private readonly database: Database,
    private readonly clock: DatabaseClock,
    private readonly events: JournalEvents,
    private readonly limits: JournalLimits = DEFAULT_JOURNAL_LIMITS,
  ) {}

  /** Names the session that owns this process's runs from now on. What was handed in for another is refused. */
  useSession(fence: SessionFence | null): void {
    this.fence = fence;
    const isStale = (entry: JournalEntry): boolean => this.isStale(entry);
    const stale = this.queue.filter(isStale);
    this.queue = this.queue.filter((entry) => !isStale(entry));
    for (const [runId, entries] of this.aside) {
      stale.push(...entries.filter(isStale));
      this.aside.set(
        runId,
        entries.filter((entry) => !isStale(entry)),
      );
    }
    this.refuse(stale, new FencedError('the session has ended'));
  }

  /** Hands in a transition. Exactly one of the two is called, later. */
  submit(transition: Transition, done: (committed: Committed) => void, failed: (error: Error) => void): void {
    const owned = transition.kind !== 'start' || transition.owned;
    const sessionId = owned ? (this.fence?.id ?? null) : null;
    const entry: JournalEntry = { transition, bytes: sizeOf(transition), sessionId, since: performance.now(), done, failed };
    if (this.closed || (owned && sessionId === null)) {
      const error = this.closed ? new ClosedError() : new FencedError('there is no session');
      setImmediate(() => entry.failed(error));
      return;
    }
    this.queuedBytes += entry.bytes;
    this.queue.push(entry);
    this.schedule();
  }

  /** Whether the database has fallen so far behind that callers must wait for room. */
  get isFull(): boolean {
    return this.queuedBytes >= this.limits.queuedBytes && !this.closed;
  }

  /** Resolves when there is room: at once, unless the database has fallen far behind. */
  async ready(): Promise<void> {
    while (this.isFull) await this.progress();
  }

  /** Resolves when all that was handed in has been written or refused, or when the time is over. */
  async drain(timeoutMs = Number.POSITIVE_INFINITY): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while ((this.queue.length > 0 || this.flushes > 0 || this.aside.size > 0) && performance.now() < deadline) {
      await Promise.race([this.progress(), sleep(20)]);
    }
  }

  /** Refuses everything that has not been written, now and later. */
  close(): void {
    this.closed = true;
    const left = [...this.queue, ...[...this.aside.values()].flat()];
    this.queue = [];
    this.aside.clear();
    this.refuse(left, new ClosedError());
    this.progressed();
  }

  /** Starts a flush when none is under way; a second one beside it only when much is waiting, so that flushes stay large. */
  private schedule(): void {
    const isWorthIt = this.flushes === 0 ? this.queue.length > 0 : this.flushes < LANES && this.queue.length >= SECOND_LANE_FROM;
    if (!isWorthIt || this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      if (this.flushes < LANES) void this.flushNext();
    });
  }

  private async flushNext(): Promise<void> {
    const { taken: entries, rest } = takeBatch(this.queue, this.limits, this.inFlight, this.aside);
    this.queue = rest;
    if (entries.length === 0) return this.progressed();
    const runIds = new Set(entries.map((entry) => entry.transition.runId));
    for (const runId of runIds) this.inFlight.add(runId);
    this.flushes++;
    await this.write(entries);
    this.flushes--;
    for (const runId of runIds) this.inFlight.delete(runId);
    this.progressed();
    // One round later: what these results set off is then in the queue as well.
    if (this.queue.length > 0) setImmediate(() => this.schedule());
  }

  /** Writes entries of one session until each is settled or put aside. Never rejects. */
  private async write(wanted: readonly JournalEntry[]): Promise<void> {
    let entries = wanted;
    for (let tries = 0; entries.length > 0; tries++) {
      let outcomes: (Committed | Error)[];
      try {
        const written = await this.writeOnce(entries);
        if (written === 'moved') {
          entries = this.withoutStale(entries);
          continue;
        }
        outcomes = written;
      } catch (error) {
        const fault = faultOf(error);
        if (fault === 'data') return this.divide(entries, error as Error);
        if (this.closed) return this.refuse(entries, new ClosedError());
        if (fault === 'locked') entries = await this.setLockedAside(entries);
        if (fault === 'connection' || fault === 'refused') {
          this.events.trouble(error);
          const patienceMs = fault === 'refused' ? 0 : this.limits.startPatienceMs;
          entries = this.giveUpStarts(entries, patienceMs, error);
          this.queue = this.giveUpStarts(this.queue, patienceMs, error);
          await sleep(Math.min(50 * 2 ** Math.min(tries, 5), 1_000));
        }
        continue;
      }
      entries.forEach((entry, index) => this.settle(entry, outcomes[index]!));
      return;
    }
  }

  /** `moved`: another server answered; what is the session's is to be written once more if it is still the session's. */
  private async writeOnce(entries: readonly JournalEntry[]): Promise<(Committed | Error)[] | 'moved'> {
    const sessionId = entries.find((entry) => entry.sessionId !== null)?.sessionId ?? null;
    const current = this.fence?.id === sessionId ? this.fence : null;
    // Of a session that is no longer ours nothing is written; whether it had been written before shows all the same.
    const fence = sessionId === null ? null : (current ?? { id: sessionId, server: '' });
    const rows = toFlushRows(entries.map((entry) => entry.transition));
    const sentAt = performance.now();
    const result = await flush(this.database, fence, rows);
    this.clock.sync(result.now, sentAt);
    if (current && result.server !== current.server) {
      await this.events.moved();
      return 'moved';
    }
    if (sessionId !== null && !result.sessionAlive) setImmediate(() => this.events.fenced(sessionId));
    return outcomesOf(this.database, entries, rows, result);
  }

  private isStale({ sessionId }: JournalEntry): boolean {
    return sessionId !== null && sessionId !== this.fence?.id;
  }

  private withoutStale(entries: readonly JournalEntry[]): readonly JournalEntry[] {
    this.refuse(
      entries.filter((entry) => this.isStale(entry)),
      new FencedError('the session has ended'),
    );
    return entries.filter((entry) => !this.isStale(entry));
  }

  /** Starts do not wait for ever: their callers would rather know. What a run has done waits as long as it takes. */
  private giveUpStarts(entries: readonly JournalEntry[], patienceMs: number, cause: unknown): JournalEntry[] {
    const latest = performance.now() - patienceMs;
    const isLate = ({ transition, since }: JournalEntry): boolean => transition.kind === 'start' && since <= latest;
    this.refuse(
      entries.filter(isLate),
      new DatabaseUnavailableError(`the run could not be written: ${cause instanceof Error ? cause.message : 'no answer'}`, { cause }),
    );
    return entries.filter((entry) => !isLate(entry));
  }

  /** One run whose data cannot be stored must not fail the others: halves, until the one is found. */
  private async divide(entries: readonly JournalEntry[], error: Error): Promise<void> {
    const runs = [...new Set(entries.map((entry) => entry.transition.runId))];
    if (runs.length === 1) return this.refuse([...entries, ...this.takeRest(runs[0]!)], error);
    const first = new Set(runs.slice(0, runs.length >> 1));
    await this.write(entries.filter((entry) => first.has(entry.transition.runId)));
    await this.write(entries.filter((entry) => !first.has(entry.transition.runId)));
  }

  /** What an owned run has handed in after something that cannot be stored comes of that: an end would hide that a result is missing. */
  private takeRest(runId: string): JournalEntry[] {
    const isRest = ({ transition }: JournalEntry): boolean => transition.runId === runId && transition.kind !== 'start';
    const isOther = (entry: JournalEntry): boolean => !isRest(entry);
    const aside = this.aside.get(runId) ?? [];
    const rest = [...aside, ...this.queue].filter(isRest);
    this.queue = this.queue.filter(isOther);
    if (this.aside.has(runId)) this.aside.set(runId, aside.filter(isOther));
    return rest;
  }

  /** Somebody holds a lock on a row: its run waits aside, the rest goes on at once. */
  private async setLockedAside(entries: readonly JournalEntry[]): Promise<readonly JournalEntry[]> {
    const locked = await this.lockedAmong([...new Set(entries.map((entry) => entry.transition.runId))]);
    if (locked.size === 0) {
      // Not a row that is there: an id that an open transaction is about to create. Only a start can meet it.
      for (const { transition } of entries) if (transition.kind === 'start') locked.add(transition.runId);
    }
    const ours = this.withoutStale(entries);
    for (const runId of locked) {
      const mine = ours.filter((entry) => entry.transition.runId === runId);
      // What is there already came later.
      this.aside.set(runId, [...mine, ...(this.aside.get(runId) ?? [])]);
    }
    if (!this.watchingAside) void this.watchAside();
    return ours.filter((entry) => !locked.has(entry.transition.runId));
  }

  private async lockedAmong(runIds: readonly string[]): Promise<Set<string>> {
    try {
      return await findLockedRuns(this.database, runIds);
    } catch {
      return new Set();
    }
  }

  /** Writes what waits aside, a run at a time, as soon as its row is free. */
  private async watchAside(): Promise<void> {
    this.watchingAside = true;
    while (this.aside.size > 0) {
      await sleep(ASIDE_PAUSE_MS);
      const waiting = [...this.aside.keys()];
      const locked = await this.lockedAmong(waiting);
      for (const runId of waiting) {
        if (locked.has(runId)) continue;
        const entries = this.aside.get(runId) ?? [];
        const change = entries.findIndex((entry) => entry.transition.kind === 'change');
        this.aside.set(runId, change < 0 ? [] : entries.splice(change + 1));
        await this.write(entries);
        if (this.aside.get(runId)?.length === 0) this.aside.delete(runId);
      }
    }
    this.watchingAside = false;
    this.progressed();
  }

  private settle(entry: JournalEntry, outcome: Committed | Error): void {
    this.queuedBytes -= entry.bytes;
    try {
      if (outcome instanceof Error) entry.failed(outcome);
      else entry.done(outcome);
    } catch (error) {
      // What is written is written: the others are told all the same, and nothing is written again.
      process.emitWarning(error instanceof Error ? (error.stack ?? error.message) : String(error), 'JournalWarning');
    }
  }

  private refuse(entries: readonly JournalEntry[], error: Error): void {
    for (const entry of entries) this.settle(entry, error);
  }

  private progress(): Promise<void> {
    return new Promise((resolve) => this.waiters.push(resolve));
  }

  private progressed(): void {
    for (const resume of this.waiters.splice(0)) resume();
  }
}
