import { performance } from 'node:perf_hooks';

import { setImmediate, sleep } from '../core/timers.js';
import type { DatabaseClock } from '../core/clock.js';
import { ClosedError, FencedError } from '../core/errors/index.js';
import type { Committed, Transition } from '../core/transition.js';
import { faultOf } from './database-errors.js';
import type { Database } from './database.js';
import { toFlushRows } from './flush-rows.js';
import { RunsAside, suspectsOf } from './journal-aside.js';
import { DEFAULT_JOURNAL_LIMITS, partition, takeBatch, type JournalLimits } from './journal-batch.js';
import { RefusedRuns } from './journal-refused.js';
import { sizeOf, startedRun, tell, type JournalEntry } from './journal-entry.js';
import { isOverdueStart, leftoversOf, MAX_CLEARINGS, noteDoubt, startGivenUp } from './journal-starts.js';
import type { JournalEvents } from './journal-events.js';
import type { SessionFence } from './session-fence.js';
import { resolveOutcomes, WITHHELD, type Outcome } from './resolve-outcomes.js';
import { flush } from './sql/flush.js';
import { clearLeftovers } from './sql/leftovers.js';
import { findLockedRuns } from './sql/find-locked-runs.js';

/**
 * Maximum number of flushes at the same time. With a single one this process would idle while the
 * server works, and the server while this process works.
 */
const LANES = 2;
const SECOND_LANE_FROM = 100;

/** Milliseconds between two checks of runs whose rows other transactions have locked. */
const ASIDE_PAUSE_MS = 50;

/**
 * The one gate through which transitions become durable. When no flush is active, one starts at
 * once. Transitions that arrive meanwhile go into the next flush together. Transitions of one run
 * become durable in the order in which they were handed in.
 */
export class Journal {
  private fence: SessionFence | null = null;
  private queue: JournalEntry[] = [];
  private queuedBytes = 0;
  /**
   * Number of active flushes, and the runs that they contain. Further transitions of these runs
   * wait.
   */
  private flushes = 0;
  private readonly inFlight = new Set<string>();
  private scheduled = false;
  private closed = false;
  private readonly aside = new RunsAside();
  private watchingAside = false;
  private readonly refused = new RefusedRuns();
  /** Number of active searches for a run that makes its flush fail. */
  private searches = 0;
  private waiters: (() => void)[] = [];

  constructor(
    private readonly database: Database,
    private readonly clock: DatabaseClock,
    private readonly events: JournalEvents,
    private readonly limits: JournalLimits = DEFAULT_JOURNAL_LIMITS,
  ) {}

  /**
   * Sets the session that owns this process's runs from now on. Refuses transitions that were
   * handed in for another session.
   */
  useSession(fence: SessionFence | null): void {
    this.fence = fence;
    const isStale = (entry: JournalEntry): boolean => this.isStale(entry);
    const [stale, rest] = partition(this.queue, isStale);
    this.queue = rest;
    this.refuse([...stale, ...this.aside.remove(isStale)], new FencedError('the session has ended'));
  }

  /** Hands in a transition. Exactly one of the two callbacks is called, later. */
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

  /** True when the database is so far behind that callers must wait for room. */
  get isFull(): boolean {
    return this.queuedBytes >= this.limits.queuedBytes && !this.closed;
  }

  /** Resolves when there is room. Resolves at once unless the database is far behind. */
  async ready(): Promise<void> {
    while (this.isFull) await this.progress();
  }

  /**
   * Resolves when everything that was handed in has been written or refused, or when the timeout
   * has passed.
   */
  async drain(timeoutMs = Number.POSITIVE_INFINITY): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while ((this.queue.length > 0 || this.flushes > 0 || this.aside.size > 0) && performance.now() < deadline) {
      await Promise.race([this.progress(), sleep(20)]);
    }
  }

  /**
   * Refuses the transitions of a run that has been deleted. Resolves when no flush contains
   * anything of that run.
   */
  async discard(runId: string): Promise<void> {
    this.refuse(this.takeRest(runId), new FencedError(`run "${runId}" has been deleted`));
    while (this.inFlight.has(runId) && !this.closed) await this.progress();
  }

  /** Refuses everything that has not been written, now and later. */
  close(): void {
    this.closed = true;
    const left = [...this.queue, ...this.aside.remove(() => true)];
    this.queue = [];
    this.aside.forgetEmpty();
    this.refuse(left, new ClosedError());
    this.progressed();
  }

  /**
   * Starts a flush when none is active. Starts a second flush beside it only when many transitions
   * wait, so that flushes stay large. While the first flush searches for a run that makes it fail,
   * a second one always starts, so that other runs continue.
   */
  private schedule(): void {
    const secondFrom = this.searches > 0 ? 1 : SECOND_LANE_FROM;
    const isWorthIt = this.flushes === 0 ? this.queue.length > 0 : this.flushes < LANES && this.queue.length >= secondFrom;
    if (!isWorthIt || this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      if (this.flushes < LANES) void this.flushNext();
    });
  }

  private async flushNext(): Promise<void> {
    if (this.refused.size > 0) this.divert();
    const { taken: entries, rest } = takeBatch(this.queue, this.limits, this.inFlight, this.aside.entries);
    this.queue = rest;
    if (entries.length === 0) return this.progressed();
    const runIds = new Set(entries.map((entry) => entry.transition.runId));
    for (const runId of runIds) this.inFlight.add(runId);
    this.flushes++;
    await this.write(entries);
    this.flushes--;
    for (const runId of runIds) this.inFlight.delete(runId);
    this.progressed();
    // The check runs one round later, when the transitions that these results cause are in the
    // queue as well.
    if (this.queue.length > 0) setImmediate(() => this.schedule());
  }

  /** Defers transitions of recently refused runs, so that they are written separately. */
  private divert(): void {
    const isApart = ({ transition }: JournalEntry): boolean => !this.inFlight.has(transition.runId) && this.refused.has(transition.runId);
    const [apart, rest] = partition(this.queue, isApart);
    if (apart.length === 0) return;
    this.queue = rest;
    this.aside.join(apart);
    if (!this.watchingAside) void this.watchAside();
  }

  /** Writes entries of one session until each entry is settled or deferred. Never rejects. */
  private async write(wanted: readonly JournalEntry[]): Promise<void> {
    let entries = wanted;
    let clearings = 0;
    for (let tries = 0; entries.length > 0; tries++) {
      let outcomes: Outcome[];
      try {
        if (clearings > 0) await clearLeftovers(this.database, entries.map(startedRun));
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
        if (fault === 'locked' || fault === 'cancelled') {
          const left = await this.setAside(entries, error);
          // One of the entries is at fault, and the others must not wait for it.
          if (left === 'unclear') return this.halve(entries);
          if (left.length < entries.length) {
            entries = left;
            continue;
          }
        }
        if (fault !== 'conflict') entries = await this.outage(entries, error, tries);
        continue;
      }
      const withheld = entries.filter((_, index) => outcomes[index] === WITHHELD);
      entries.forEach((entry, index) => outcomes[index] !== WITHHELD && this.settle(entry, outcomes[index]!));
      if (clearings++ === MAX_CLEARINGS) return withheld.forEach((entry) => this.settle(entry, leftoversOf(entry)));
      entries = withheld;
    }
  }

  /**
   * Writes entries with one statement. Returns `moved` when another server answered: entries whose
   * session is still valid must then be written again.
   */
  private async writeOnce(entries: readonly JournalEntry[]): Promise<Outcome[] | 'moved'> {
    const sessionId = entries.find((entry) => entry.sessionId !== null)?.sessionId ?? null;
    const current = this.fence?.id === sessionId ? this.fence : null;
    // With an invalid fence nothing of an ended session is written. The statement still shows which
    // entries had been written before.
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
    return resolveOutcomes(this.database, entries, rows, result);
  }

  private isStale({ sessionId }: JournalEntry): boolean {
    return sessionId !== null && sessionId !== this.fence?.id;
  }

  private withoutStale(entries: readonly JournalEntry[]): readonly JournalEntry[] {
    const [stale, rest] = partition(entries, (entry) => this.isStale(entry));
    this.refuse(stale, new FencedError('the session has ended'));
    return rest;
  }

  /**
   * Pauses before these entries are tried again, longer each time. Gives up overdue starts, because
   * their callers prefer an error to an endless wait. Results of runs wait without a limit.
   */
  private async outage(entries: readonly JournalEntry[], error: unknown, tries: number): Promise<readonly JournalEntry[]> {
    noteDoubt(entries, error);
    this.events.trouble(error);
    const isLate = isOverdueStart(performance.now() - (faultOf(error) === 'refused' ? 0 : this.limits.startPatienceMs));
    const [late, left] = partition(entries, isLate);
    const [lateInQueue, queue] = partition(this.queue, isLate);
    this.queue = queue;
    for (const entry of [...late, ...lateInQueue]) this.settle(entry, startGivenUp(entry, error));
    if (left.length > 0) await sleep(Math.min(50 * 2 ** Math.min(tries, 5), 1_000));
    return left;
  }

  /**
   * Divides the entries until the one that cannot be stored is found. The data of one run must not
   * make the writes of others fail.
   */
  private async divide(entries: readonly JournalEntry[], error: Error): Promise<void> {
    const [first, ...rest] = entries;
    const { runId, kind } = first!.transition;
    if (rest.some((entry) => entry.transition.runId !== runId)) return this.halve(entries);
    if (rest.length > 0) return this.writeInTurn(entries);
    if (kind !== 'start') this.refused.note(runId);
    this.refuse([...entries, ...this.takeRest(runId)], error);
  }

  /**
   * Writes each transition of a run separately, up to the one that is refused. A run whose end is
   * refused keeps the results before it.
   */
  private async writeInTurn(entries: readonly JournalEntry[]): Promise<void> {
    let refusal: Error | undefined;
    for (const [index, entry] of entries.entries()) {
      const failed = (error: Error): void => {
        refusal = error;
        entry.failed(error);
      };
      const watched = { ...entry, failed };
      await this.write([watched]);
      const rest = entries.slice(index + 1);
      if (refusal) return this.refuse(rest, refusal);
      // Deferred transitions of the run wait, perhaps this one among them. The rest must follow in
      // its order.
      if (this.aside.isWaiting(entry.transition.runId)) return this.aside.putAfter(watched, rest);
    }
  }

  private async halve(entries: readonly JournalEntry[]): Promise<void> {
    const runs = [...new Set(entries.map((entry) => entry.transition.runId))];
    const firstRuns = new Set(runs.slice(0, runs.length >> 1));
    const [first, second] = partition(entries, (entry) => firstRuns.has(entry.transition.runId));
    this.searches++;
    await this.write(first);
    await this.write(second);
    this.searches--;
  }

  /**
   * Removes the later transitions of an owned run after one that cannot be stored. They may depend
   * on it: an end, for example, would hide that a result is missing.
   */
  private takeRest(runId: string): JournalEntry[] {
    const isRest = ({ transition }: JournalEntry): boolean => transition.runId === runId && transition.kind !== 'start';
    const [rest, queue] = partition(this.queue, isRest);
    this.queue = queue;
    return [...this.aside.remove(isRest), ...rest];
  }

  /**
   * Defers the runs that the database does not accept, and returns the rest. Returns all entries
   * when no single run causes the trouble, and `unclear` when one of several is at fault.
   */
  private async setAside(entries: readonly JournalEntry[], error: unknown): Promise<readonly JournalEntry[] | 'unclear'> {
    const runIds = [...new Set(entries.map((entry) => entry.transition.runId))];
    const locked = await this.lockedAmong(runIds);
    const wanted = locked.size > 0 ? locked : suspectsOf(entries, runIds, error);
    if (wanted === 'none') return entries;
    if (wanted === 'unclear') return 'unclear';
    const [mine, others] = partition(this.withoutStale(entries), ({ transition }) => wanted.has(transition.runId));
    this.aside.put(mine, error);
    if (locked.size === 0 && runIds.length === 1) {
      this.aside.backOff(runIds[0]!);
      this.events.trouble(error);
    }
    if (!this.watchingAside) void this.watchAside();
    return others;
  }

  private async lockedAmong(runIds: readonly string[]): Promise<Set<string>> {
    try {
      return await findLockedRuns(this.database, runIds);
    } catch {
      return new Set();
    }
  }

  /** Writes deferred runs, one at a time, as soon as their rows are free. */
  private async watchAside(): Promise<void> {
    this.watchingAside = true;
    while (this.aside.size > 0) {
      await sleep(ASIDE_PAUSE_MS);
      this.giveUpAside();
      const waiting = this.aside.due();
      const locked = waiting.length === 0 ? new Set() : await this.lockedAmong(waiting);
      for (const runId of waiting) if (!locked.has(runId)) await this.write(this.aside.take(runId));
      this.aside.forgetEmpty();
    }
    this.watchingAside = false;
    this.progressed();
  }

  private giveUpAside(): void {
    const late = this.aside.remove(isOverdueStart(performance.now() - this.limits.startPatienceMs));
    for (const entry of late) this.settle(entry, startGivenUp(entry, this.aside.causeOf(entry.transition.runId)));
    for (const runId of this.aside.longLocked()) {
      this.events.trouble(new Error(`run "${runId}" cannot be written: another transaction has locked its row`));
    }
  }

  private settle(entry: JournalEntry, outcome: Committed | Error): void {
    this.queuedBytes -= entry.bytes;
    tell(entry, outcome);
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
