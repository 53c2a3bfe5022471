import { performance } from 'node:perf_hooks';

import { setImmediate, sleep } from '../core/timers.js';
import type { DatabaseClock } from '../core/clock.js';
import { ClosedError, FencedError } from '../core/errors/index.js';
import type { Committed, Transition } from '../core/transition.js';
import type { Database } from './database.js';
import { DEFAULT_JOURNAL_LIMITS, lanesOf, takeBatch, type JournalLimits } from './journal-batch.js';
import { sizeOf, type JournalEntry } from './journal-entry.js';
import type { JournalEvents } from './journal-events.js';
import { JournalQueue } from './journal-queue.js';
import { JournalWriter } from './journal-writer.js';
import type { SessionFence } from './session-fence.js';

/**
 * Maximum number of flushes at the same time. With only one, this process would idle while the
 * server works, and the server would idle while this process works.
 */
const MAX_FLUSHES = 2;

/** Number of waiting transitions at which a second flush starts while the first is active. */
const SECOND_FLUSH_FROM = 100;

/**
 * Writes all transitions (changes of runs) of this process. When no flush (one write) is active, a
 * transition starts a flush at once. Transitions that arrive during a flush go into the next flush
 * together. The transitions of one run become durable in the order in which they were handed in.
 */
export class Journal {
  private readonly queue = new JournalQueue();
  private readonly writer: JournalWriter;
  /**
   * Number of active flushes. `inFlight` contains their runs and shared keys, whose further
   * transitions wait.
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
   * Sets the session that owns this process's runs from now on. Refuses waiting transitions that
   * were handed in for another session.
   */
  useSession(fence: SessionFence | null): void {
    this.queue.fence = fence;
    const isStale = (entry: JournalEntry): boolean => this.queue.isStale(entry);
    const stale = [...this.queue.remove(isStale), ...this.writer.deferred.remove(isStale)];
    this.queue.refuse(stale, new FencedError('the session has ended'));
  }

  /** Hands in a transition. Later, exactly one of the two callbacks is called. */
  submit(transition: Transition, done: (committed: Committed) => void, failed: (error: Error) => void): void {
    const { fence, isClosed } = this.queue;
    const owned = transition.kind === 'start' ? transition.owned : transition.kind !== 'emit';
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

  /**
   * True when callers must wait before they hand in further transitions, because too many payload
   * bytes wait for the database.
   */
  get isFull(): boolean {
    return this.queue.bytes >= this.limits.queuedBytes && !this.queue.isClosed;
  }

  /** Number of transitions that wait for a flush, and payload bytes without an outcome. */
  get load(): { readonly transitions: number; readonly bytes: number } {
    return { transitions: this.queue.entries.length + this.writer.deferred.size, bytes: this.queue.bytes };
  }

  /** Resolves when further transitions may be handed in: at once unless `isFull`. */
  async ready(): Promise<void> {
    while (this.isFull) await this.queue.nextProgress();
  }

  /**
   * Resolves when every transition handed in so far has an outcome, or when the timeout has passed.
   */
  async drain(timeoutMs = Number.POSITIVE_INFINITY): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    const isBusy = (): boolean => this.queue.entries.length > 0 || this.flushes > 0 || this.writer.deferred.size > 0;
    while (isBusy() && performance.now() < deadline) await Promise.race([this.queue.nextProgress(), sleep(20)]);
  }

  /**
   * Refuses the waiting transitions of a run that has been deleted. Resolves when no active flush
   * contains transitions of the run.
   */
  async discard(runId: string): Promise<void> {
    this.queue.refuse(this.writer.takeRest(runId), new FencedError(`run "${runId}" has been deleted`));
    while (this.inFlight.has(runId) && !this.queue.isClosed) await this.queue.nextProgress();
  }

  /** Refuses all transitions that have not been written, and all that are handed in later. */
  close(): void {
    this.queue.isClosed = true;
    const left = [...this.queue.remove(() => true), ...this.writer.deferred.remove(() => true)];
    this.writer.deferred.forgetEmpty();
    this.queue.refuse(left, new ClosedError());
    this.queue.progressed();
  }

  /**
   * Starts a flush when none is active. Starts a second flush only when many transitions wait,
   * because large flushes cost less per transition. While the first flush searches for the run that
   * makes it fail, the second starts for any transition, so that other runs continue.
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
    const lanes = lanesOf(entries);
    for (const lane of lanes) this.inFlight.add(lane);
    this.flushes++;
    await this.writer.write(entries);
    this.flushes--;
    for (const lane of lanes) this.inFlight.delete(lane);
    this.queue.progressed();
    // The runs first react to the results of this flush. `schedule` is called after that, so it
    // also counts the transitions that the runs hand in.
    if (this.queue.entries.length > 0) setImmediate(() => this.schedule());
  }
}
