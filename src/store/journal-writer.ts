import { performance } from 'node:perf_hooks';

import { setImmediate, sleep } from '../core/timers.js';
import type { DatabaseClock } from '../core/clock.js';
import { ClosedError, FencedError } from '../core/errors/index.js';
import { tracer } from '../core/tracing.js';
import { faultOf } from './database-errors.js';
import type { Database } from './database.js';
import type { FlushRows } from './flush-columns.js';
import { toFlushRows } from './flush-rows.js';
import { DeferredRuns, runsAtFault } from './journal-deferred.js';
import { partition, type JournalLimits } from './journal-batch.js';
import { RefusedRuns } from './journal-refused.js';
import { startedRun, type JournalEntry } from './journal-entry.js';
import { isFromCaller, isOverdueStart, markUncertain, MAX_CLEARINGS, toLeftoversError, toStartError } from './journal-starts.js';
import type { JournalEvents } from './journal-events.js';
import type { JournalQueue } from './journal-queue.js';
import { fenceOfEndedSession, type SessionFence } from './session-fence.js';
import { AGAIN, resolveOutcomes, WITHHELD, type Outcome } from './resolve-outcomes.js';
import { flush, type FlushResult } from './sql/flush.js';
import { clearLeftovers } from './sql/leftovers.js';
import { findLockedRuns } from './sql/find-locked-runs.js';

/** Milliseconds between two checks of runs whose rows other transactions have locked. */
const DEFERRED_PAUSE_MS = 50;

/**
 * Writes transitions (changes of runs) until each one has an outcome. Repeats a write while the
 * database is away, and finds the run that makes a write fail. Defers runs that cannot be written
 * at the moment.
 */
export class JournalWriter {
  readonly deferred = new DeferredRuns();
  /** Number of searches in progress for a run that makes its flush fail. */
  searches = 0;
  private readonly refused = new RefusedRuns();
  private isWritingDeferred = false;

  constructor(
    private readonly queue: JournalQueue,
    private readonly database: Database,
    private readonly clock: DatabaseClock,
    private readonly events: JournalEvents,
    private readonly limits: JournalLimits,
  ) {}

  /**
   * Removes and returns the remaining transitions of a run, except its start. Called when an
   * earlier transition cannot be stored, or when the run was deleted. The remaining transitions may
   * depend on the earlier one. The run's end, for example, would hide that a result is missing.
   */
  takeRest(runId: string): JournalEntry[] {
    const isRest = (entry: JournalEntry): boolean => entry.transition.runId === runId && !isFromCaller(entry);
    return [...this.deferred.remove(isRest), ...this.queue.remove(isRest)];
  }

  /**
   * Moves queued transitions of recently refused runs to the deferred ones, which are written
   * separately.
   */
  deferRefused(inFlight: ReadonlySet<string>): void {
    if (this.refused.size === 0) return;
    const entries = this.queue.remove(({ transition: { runId } }) => !inFlight.has(runId) && this.refused.has(runId));
    if (entries.length === 0) return;
    this.deferred.join(entries);
    if (!this.isWritingDeferred) void this.writeDeferred();
  }

  /**
   * Writes entries of one session until each entry has an outcome or is deferred. Never rejects.
   */
  async write(wanted: readonly JournalEntry[]): Promise<void> {
    let entries = wanted;
    let clearings = 0;
    let withheld: readonly JournalEntry[] = [];
    for (let tries = 0; entries.length > 0; tries++) {
      let outcomes: Outcome[];
      try {
        if (withheld.length > 0) await clearLeftovers(this.database, withheld.map(startedRun));
        const written = await this.writeOnce(entries);
        if (written === 'moved') {
          entries = this.withoutStale(entries);
          continue;
        }
        outcomes = written;
      } catch (error) {
        const fault = faultOf(error);
        if (fault === 'data') return this.divide(entries, error as Error);
        if (this.queue.isClosed) return this.queue.refuse(entries, new ClosedError());
        if (fault === 'locked' || fault === 'cancelled') {
          const left = await this.defer(entries, error);
          // One of these runs is at fault. Halving finds this run, and writes the other runs
          // without it.
          if (left === 'unclear') return this.halve(entries);
          if (left.length < entries.length) {
            entries = left;
            continue;
          }
        }
        if (fault !== 'conflict') entries = await this.pause(entries, error, tries);
        continue;
      }
      withheld = entries.filter((_, index) => outcomes[index] === WITHHELD);
      const again = entries.filter((_, index) => outcomes[index] === AGAIN);
      for (const [index, entry] of entries.entries()) {
        const outcome = outcomes[index]!;
        if (outcome !== WITHHELD && outcome !== AGAIN) this.queue.settle(entry, outcome);
      }
      if (withheld.length > 0 && clearings++ === MAX_CLEARINGS) {
        for (const entry of withheld) this.queue.settle(entry, toLeftoversError(entry));
        withheld = [];
      }
      entries = [...withheld, ...again];
    }
  }

  /**
   * Writes entries with one statement. Returns `moved` when another server executed the statement,
   * and wrote nothing for the session's runs. The caller then repeats the entries whose session is
   * still valid.
   */
  private async writeOnce(entries: readonly JournalEntry[]): Promise<Outcome[] | 'moved'> {
    const sessionId = entries.find((entry) => entry.sessionId !== null)?.sessionId ?? null;
    const current = this.queue.fence?.id === sessionId ? this.queue.fence : null;
    // When the session of these entries has ended, the statement still shows which entries an
    // earlier try had written.
    const fence = sessionId === null ? null : (current ?? fenceOfEndedSession(sessionId));
    const rows = toFlushRows(
      entries.map((entry) => entry.transition),
      this.database.listened,
    );
    const sentAt = performance.now();
    const result = await this.flushRows(entries, fence, rows).catch((error: unknown) => {
      this.events.flushed?.('failed', performance.now() - sentAt, entries);
      throw error;
    });
    this.events.flushed?.('written', performance.now() - sentAt, entries);
    this.clock.sync(result.now, sentAt);
    if (current && result.server !== current.server) {
      await this.events.moved();
      return 'moved';
    }
    if (rows.runEvents.length > 0 || rows.stepEvents.length > 0) this.database.listened.recorded();
    if (sessionId !== null && !result.sessionAlive) setImmediate(() => this.events.fenced(sessionId));
    return resolveOutcomes(this.database, entries, rows, result);
  }

  private async flushRows(entries: readonly JournalEntry[], fence: SessionFence | null, rows: FlushRows): Promise<FlushResult> {
    if (!tracer) return flush(this.database, fence, rows);
    const since = Date.now();
    const result = await flush(this.database, fence, rows).catch((error: unknown) => {
      tracer?.flushed(entries, since, error);
      throw error;
    });
    // Not part of what is tried above: the flush is committed, and must not be reported as failed.
    tracer?.flushed(entries, since);
    return result;
  }

  private withoutStale(entries: readonly JournalEntry[]): readonly JournalEntry[] {
    const [stale, rest] = partition(entries, (entry) => this.queue.isStale(entry));
    this.queue.refuse(stale, new FencedError('the session has ended'));
    return rest;
  }

  /**
   * Pauses before these entries are tried again, longer with each try. Gives up starts that have
   * waited too long, because their callers prefer an error to an endless wait. Results of runs wait
   * without a limit.
   */
  private async pause(entries: readonly JournalEntry[], error: unknown, tries: number): Promise<readonly JournalEntry[]> {
    markUncertain(entries, error);
    this.events.trouble(error);
    const isLate = isOverdueStart(performance.now() - (faultOf(error) === 'refused' ? 0 : this.limits.startTimeoutMs));
    const [late, left] = partition(entries, isLate);
    for (const entry of [...late, ...this.queue.remove(isLate)]) this.queue.settle(entry, toStartError(entry, error));
    if (left.length > 0) await sleep(Math.min(50 * 2 ** Math.min(tries, 5), 1_000));
    return left;
  }

  /**
   * Divides the entries until the one that cannot be stored is found. One run's invalid data must
   * not prevent the writes for other runs.
   */
  private async divide(entries: readonly JournalEntry[], error: Error): Promise<void> {
    const [first, ...rest] = entries;
    const { runId } = first!.transition;
    if (rest.some((entry) => entry.transition.runId !== runId)) return this.halve(entries);
    if (rest.length > 0) return this.writeInTurn(entries);
    if (!isFromCaller(first!)) this.refused.note(runId);
    this.queue.refuse([...entries, ...this.takeRest(runId)], error);
  }

  /**
   * Writes each transition of a run separately, until one is refused. So the results that come
   * before a refused end are still stored.
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
      if (refusal) return this.queue.refuse(rest, refusal);
      // Transitions of this run were deferred, perhaps including this one. The remaining
      // transitions must wait behind them, in order.
      if (this.deferred.isWaiting(entry.transition.runId)) return this.deferred.putAfter(watched, rest);
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
   * Defers the runs that the database does not accept at the moment, and returns the other entries.
   * Returns all entries when no single run is the cause. Returns `unclear` when one of several runs
   * is the cause, but the error does not show which.
   */
  private async defer(entries: readonly JournalEntry[], error: unknown): Promise<readonly JournalEntry[] | 'unclear'> {
    const runIds = [...new Set(entries.map((entry) => entry.transition.runId))];
    const locked = await this.lockedAmong(runIds);
    const wanted = locked.size > 0 ? locked : runsAtFault(entries, runIds, error);
    if (wanted === 'none') return entries;
    if (wanted === 'unclear') return 'unclear';
    const [mine, others] = partition(this.withoutStale(entries), ({ transition }) => wanted.has(transition.runId));
    this.deferred.put(mine, error);
    if (locked.size === 0 && runIds.length === 1) {
      this.deferred.backOff(runIds[0]!);
      this.events.trouble(error);
    }
    if (!this.isWritingDeferred) void this.writeDeferred();
    return others;
  }

  private async lockedAmong(runIds: readonly string[]): Promise<Set<string>> {
    try {
      return await findLockedRuns(this.database, runIds);
    } catch {
      return new Set();
    }
  }

  /** Writes deferred runs, one at a time, once no other transaction has locked their rows. */
  private async writeDeferred(): Promise<void> {
    this.isWritingDeferred = true;
    while (this.deferred.size > 0) {
      await sleep(DEFERRED_PAUSE_MS);
      this.giveUpDeferredStarts();
      const waiting = this.deferred.due();
      const locked = waiting.length === 0 ? new Set() : await this.lockedAmong(waiting);
      for (const runId of waiting) if (!locked.has(runId)) await this.write(this.deferred.take(runId));
      this.deferred.forgetEmpty();
    }
    this.isWritingDeferred = false;
    this.queue.progressed();
  }

  private giveUpDeferredStarts(): void {
    const late = this.deferred.remove(isOverdueStart(performance.now() - this.limits.startTimeoutMs));
    for (const entry of late) this.queue.settle(entry, toStartError(entry, this.deferred.causeOf(entry.transition.runId)));
    for (const runId of this.deferred.longLocked()) {
      this.events.trouble(new Error(`run "${runId}" cannot be written: another transaction has locked its row`), { runId });
    }
  }
}
