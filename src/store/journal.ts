import { performance } from 'node:perf_hooks';

import { setImmediate, sleep } from '../core/timers.js';
import type { DatabaseClock } from '../core/clock.js';
import { ClosedError, FencedError } from '../core/errors/index.js';
import type { Committed, Transition } from '../core/transition.js';
import type { Database } from './database.js';
import { DEFAULT_JOURNAL_LIMITS, takeBatch, type JournalLimits } from './journal-batch.js';
import { sizeOf, type JournalEntry } from './journal-entry.js';
import type { JournalEvents } from './journal-events.js';
import { JournalQueue } from './journal-queue.js';
import { JournalWriter } from './journal-writer.js';
import type { SessionFence } from './session-fence.js';

/**
 * Maximum number of flushes at the same time. With a single one this process would idle while the
 * server works, and the server while this process works.
 */
const MAX_FLUSHES = 2;

/** Number of waiting transitions from which a second flush starts beside the first. */
const SECOND_FLUSH_FROM = 100;

/**
 * The one gate through which transitions become durable. When no flush is active, one starts at
 * once. Transitions that arrive meanwhile go into the next flush together. Transitions of one run
 * become durable in the order in which they were handed in.
 */
export class Journal {
  private readonly queue = new JournalQueue();
  private readonly writer: JournalWriter;
  /**
   * Number of active flushes, and the runs that they contain. Further transitions of these runs
   * wait.
   */
  private flushes = 0;
  private readonly inFlight = new Set<string>();
  private scheduled = false;

  constructor(
    database: Database,
    clock: DatabaseClock,
    events: JournalEvents,
    private readonly limits: JournalLimits = DEFAULT_JOURNAL_LIMITS,
  ) {
    this.writer = new JournalWriter(this.queue, database, clock, events, limits);
  }

  /**
   * Sets the session that owns this process's runs from now on. Refuses transitions that were
   * handed in for another session.
   */
  useSession(fence: SessionFence | null): void {
    this.queue.fence = fence;
    const isStale = (entry: JournalEntry): boolean => this.queue.isStale(entry);
    const stale = [...this.queue.remove(isStale), ...this.writer.deferred.remove(isStale)];
    this.queue.refuse(stale, new FencedError('the session has ended'));
  }

  /** Hands in a transition. Exactly one of the two callbacks is called, later. */
  submit(transition: Transition, done: (committed: Committed) => void, failed: (error: Error) => void): void {
    const { fence, isClosed } = this.queue;
    const owned = transition.kind !== 'start' || transition.owned;
    const sessionId = owned ? (fence?.id ?? null) : null;
    const entry: JournalEntry = { transition, bytes: sizeOf(transition), sessionId, since: performance.now(), done, failed };
    if (isClosed || (owned && sessionId === null)) {
      const error = isClosed ? new ClosedError() : new FencedError('there is no session');
      setImmediate(() => entry.failed(error));
      return;
    }
    this.queue.push(entry);
    this.schedule();
  }

  /** True when the database is so far behind that callers must wait for room. */
  get isFull(): boolean {
    return this.queue.bytes >= this.limits.queuedBytes && !this.queue.isClosed;
  }

  /** Resolves when there is room. Resolves at once unless the database is far behind. */
  async ready(): Promise<void> {
    while (this.isFull) await this.queue.nextProgress();
  }

  /**
   * Resolves when everything that was handed in has been written or refused, or when the timeout
   * has passed.
   */
  async drain(timeoutMs = Number.POSITIVE_INFINITY): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    const isBusy = (): boolean => this.queue.entries.length > 0 || this.flushes > 0 || this.writer.deferred.size > 0;
    while (isBusy() && performance.now() < deadline) await Promise.race([this.queue.nextProgress(), sleep(20)]);
  }

  /**
   * Refuses the transitions of a run that has been deleted. Resolves when no flush contains
   * anything of that run.
   */
  async discard(runId: string): Promise<void> {
    this.queue.refuse(this.writer.takeRest(runId), new FencedError(`run "${runId}" has been deleted`));
    while (this.inFlight.has(runId) && !this.queue.isClosed) await this.queue.nextProgress();
  }

  /** Refuses everything that has not been written, now and later. */
  close(): void {
    this.queue.isClosed = true;
    const left = [...this.queue.remove(() => true), ...this.writer.deferred.remove(() => true)];
    this.writer.deferred.forgetEmpty();
    this.queue.refuse(left, new ClosedError());
    this.queue.progressed();
  }

  /**
   * Starts a flush when none is active. Starts a second flush beside it only when many transitions
   * wait, so that flushes stay large. While the first flush searches for a run that makes it fail,
   * a second one always starts, so that other runs continue.
   */
  private schedule(): void {
    const waiting = this.queue.entries.length;
    const secondFrom = this.writer.searches > 0 ? 1 : SECOND_FLUSH_FROM;
    const isWorthIt = this.flushes === 0 ? waiting > 0 : this.flushes < MAX_FLUSHES && waiting >= secondFrom;
    if (!isWorthIt || this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      if (this.flushes < MAX_FLUSHES) void this.flushNext();
    });
  }

  private async flushNext(): Promise<void> {
    this.writer.deferRefused(this.inFlight);
    const { taken: entries, rest } = takeBatch(this.queue.entries, this.limits, this.inFlight, this.writer.deferred.entries);
    this.queue.entries = rest;
    if (entries.length === 0) return this.queue.progressed();
    const runIds = new Set(entries.map((entry) => entry.transition.runId));
    for (const runId of runIds) this.inFlight.add(runId);
    this.flushes++;
    await this.writer.write(entries);
    this.flushes--;
    for (const runId of runIds) this.inFlight.delete(runId);
    this.queue.progressed();
    // The check runs one round later, when the transitions that these results cause are in the
    // queue as well.
    if (this.queue.entries.length > 0) setImmediate(() => this.schedule());
  }
}
