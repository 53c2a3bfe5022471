import { performance } from 'node:perf_hooks';

import { clearTimeout, setTimeout } from '../core/timers.js';
import { isTerminal } from '../core/run.js';
import { announce, type NotifiedRun, type RunNotices } from '../core/run-notices.js';
import { within } from '../core/async.js';
import { faultOf } from './database-errors.js';
import type { Database } from './database.js';
import { bumpRuns, findMissed, type MissedRun } from './sql/bump-runs.js';
import { notifyOfCancel, type CancelRequest } from './sql/cancel-run.js';
import { findUnpaused, notifyOfPause } from './sql/pause-run.js';
import { forwardMessages } from './sql/send-signal.js';
import { pauseAfter } from './row-lock-queues.js';

/** Maximum number of runs that one statement notifies. */
const MAX_BATCH_RUNS = 100;
/**
 * Maximum number of waiting notifications. Further runs are notified by the sweeps, which search
 * the database regularly.
 */
const MAX_PENDING = 10_000;
/**
 * Milliseconds for which a caller waits while the run's row is locked. After that, the call
 * returns, and the notifier continues to try.
 */
const CALLER_WAIT_MS = 1_000;
/**
 * Milliseconds for which the notifier tries to notify a run. After that, the sweeps notify the run.
 */
const GIVE_UP_AFTER_MS = 60_000;

type Kind = 'message' | 'cancel' | 'pause';

/** A run that waits to be notified. */
interface Pending {
  readonly kind: Kind;
  readonly runId: string;
  /** Request to cancel. Undefined for other kinds of notifications. */
  readonly request: CancelRequest | undefined;
  readonly done: Promise<void>;
  readonly settle: (next?: Promise<void>) => void;
  /** Time of the first try, from performance.now(). */
  triedSince: number | undefined;
  /** Earliest time of the next try, from performance.now(). */
  dueAt: number;
}

/**
 * Result of a batch. A run that is neither notified nor locked has ended or no longer needs the
 * notification.
 */
interface Reached {
  readonly notified: readonly NotifiedRun[];
  readonly locked: ReadonlySet<string>;
  /**
   * Further notification after the notification of a run, by the run's id. It goes to the run that
   * continues the run, or to the parent that waits for the run's end.
   */
  readonly follow: ReadonlyMap<string, () => Promise<void>>;
}

/**
 * Notifies runs of messages and requests that are already stored for them. Raises the wake counters
 * of the runs, then announces the runs to the workers. Code that stores a message for a run calls
 * this class afterwards.
 *
 * Only one statement of the notifier is active at a time, and it never waits for a lock. A run
 * whose row is locked is tried again after a pause, during which no connection is held. Messages
 * that arrive for it in the meantime cause no further notification. Messages of a continued run are
 * forwarded to the run that continues it. The sweeps find runs that were not notified because of a
 * crash or a row that stayed locked.
 */
export class RunNotifier {
  private readonly pending = new Map<string, Pending>();
  private working = false;
  private timer: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(
    private readonly database: Database,
    private readonly notices: RunNotices,
    private readonly failed: (error: unknown) => void,
  ) {}

  /**
   * Notifies runs of messages that are stored for them. Never rejects. When a run's row stays
   * locked, resolves after a second and continues to try.
   */
  async notify(runIds: readonly string[]): Promise<void> {
    await this.settled(runIds.map((runId) => this.add('message', runId, undefined)));
  }

  /**
   * Notifies runs of stored requests to cancel them. Ends the runs that have never been executed.
   * Resolves as `notify` does.
   */
  async notifyOfCancel(requests: readonly CancelRequest[]): Promise<void> {
    await this.settled(requests.map((request) => this.add('cancel', request.runId, request)));
  }

  /** Notifies a run of a stored request to pause it. Resolves as `notify` does. */
  async notifyOfPause(runId: string): Promise<void> {
    await this.settled([this.add('pause', runId, undefined)]);
  }

  /** True when no notification is being sent or waits. */
  get isIdle(): boolean {
    return !this.working && this.pending.size === 0;
  }

  /** Stops trying. The sweeps of other processes notify the remaining runs. */
  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    for (const { settle } of this.pending.values()) settle();
    this.pending.clear();
  }

  private async settled(all: readonly Promise<void>[]): Promise<void> {
    if (all.length > 0) await within(CALLER_WAIT_MS, Promise.all(all));
  }

  private add(kind: Kind, runId: string, request: CancelRequest | undefined): Promise<void> {
    const key = `${kind} ${runId}`;
    const known = this.pending.get(key);
    if (known) return known.done;
    if (this.closed || this.pending.size >= MAX_PENDING) return Promise.resolve();
    let settle!: (next?: Promise<void>) => void;
    const done = new Promise<void>((resolve) => (settle = resolve));
    this.pending.set(key, { kind, runId, request, done, settle, triedSince: undefined, dueAt: 0 });
    void this.work();
    return done;
  }

  private async work(): Promise<void> {
    if (this.working) return;
    this.working = true;
    clearTimeout(this.timer);
    // Waits for a microtask, so that notifications requested by the same code go into one
    // statement.
    await Promise.resolve();
    for (let batch = this.take(); batch.length > 0; batch = this.take()) await this.notifyBatch(batch);
    this.working = false;
    if (this.pending.size === 0) return;
    const dueAt = Math.min(...[...this.pending.values()].map((each) => each.dueAt));
    this.timer = setTimeout(() => void this.work(), Math.max(1, dueAt - performance.now())).unref();
  }

  /**
   * Takes the runs to notify now, all of one kind. Removes them from `pending`, so that a later
   * message to such a run causes a new notification.
   */
  private take(): Pending[] {
    const batch: Pending[] = [];
    const now = performance.now();
    for (const [key, each] of this.pending) {
      if (each.dueAt > now || (batch[0] && batch[0].kind !== each.kind)) continue;
      this.pending.delete(key);
      if (batch.push(each) === MAX_BATCH_RUNS) break;
    }
    return batch;
  }

  private async notifyBatch(batch: readonly Pending[]): Promise<void> {
    try {
      const { notified, locked, follow } = await this.reach(batch[0]!.kind, batch);
      const announced = announce(this.notices, notified).catch(this.failed);
      for (const each of batch) {
        if (locked.has(each.runId)) this.retryLater(each);
        else each.settle(follow.get(each.runId)?.() ?? announced);
      }
    } catch (error) {
      if (isLocked(error)) return batch.forEach((each) => this.retryLater(each));
      // The messages are stored, so no caller needs to wait until the database works again. The
      // sweeps will notify the runs.
      if (!this.closed) this.failed(error);
      for (const each of batch) each.settle();
    }
  }

  /**
   * Schedules the next try for a locked run. If newer messages of the run already wait for a
   * notification, their callers share this try.
   */
  private retryLater(each: Pending): void {
    const now = performance.now();
    each.triedSince ??= now;
    const elapsed = now - each.triedSince;
    if (this.closed || elapsed > GIVE_UP_AFTER_MS) return each.settle();
    each.dueAt = now + pauseAfter(elapsed);
    const key = `${each.kind} ${each.runId}`;
    const newer = this.pending.get(key);
    if (!newer) return void this.pending.set(key, each);
    newer.triedSince = each.triedSince;
    newer.dueAt = each.dueAt;
    each.settle(newer.done);
  }

  private async reach(kind: Kind, batch: readonly Pending[]): Promise<Reached> {
    const ids = batch.map(({ runId }) => runId);
    if (kind === 'pause') return this.reachPaused(ids);
    if (kind === 'cancel') return this.reachCancelled(batch.flatMap(({ request }) => request ?? []));
    const notified = await bumpRuns(this.database, ids);
    const missed = await this.findMissed(ids, notified);
    const reached = await this.reachMissed(missed, (runId) => this.add('message', runId, undefined));
    return { notified, ...reached };
  }

  private async reachPaused(ids: readonly string[]): Promise<Reached> {
    const notified = await notifyOfPause(this.database, ids);
    const missed = without(ids, notified);
    const locked = missed.length > 0 ? await findUnpaused(this.database, missed) : [];
    return { notified, locked: new Set(locked), follow: new Map() };
  }

  private async reachCancelled(requests: readonly CancelRequest[]): Promise<Reached> {
    const byRun = new Map(requests.map((request) => [request.runId, request]));
    const notified = await notifyOfCancel(this.database, requests);
    const missed = await this.findMissed([...byRun.keys()], notified);
    const intended = missed.filter(({ id, parentId }) => [null, parentId].includes(byRun.get(id)!.parentId));
    const { locked, follow } = await this.reachMissed(intended, (runId, id) => this.add('cancel', runId, { ...byRun.get(id)!, runId }));
    for (const { id, parentId } of notified) if (parentId !== null) follow.set(id, () => this.add('message', parentId, undefined));
    return { notified, locked, follow };
  }

  private async findMissed(ids: readonly string[], notified: readonly NotifiedRun[]): Promise<MissedRun[]> {
    const missed = without(ids, notified);
    return missed.length > 0 ? findMissed(this.database, missed) : [];
  }

  /**
   * Handles runs that were not notified: those that are locked, and those that are continued by
   * another run.
   *
   * @param notify notifies the run that continues a run
   */
  private async reachMissed(
    missed: readonly MissedRun[],
    notify: (successor: string, runId: string) => Promise<void>,
  ): Promise<{ locked: Set<string>; follow: Map<string, () => Promise<void>> }> {
    const locked = new Set<string>();
    const follow = new Map<string, () => Promise<void>>();
    for (const { id, status, isContinued } of missed) {
      if (!isTerminal(status)) locked.add(id);
      if (!isContinued) continue;
      try {
        const successor = await forwardMessages(this.database, id);
        if (successor !== undefined) follow.set(id, () => notify(successor, id));
      } catch (error) {
        if (!isLocked(error)) throw error;
        locked.add(id);
      }
    }
    return { locked, follow };
  }
}

function isLocked(error: unknown): boolean {
  return ['locked', 'conflict', 'cancelled'].includes(faultOf(error));
}

function without(ids: readonly string[], notified: readonly NotifiedRun[]): string[] {
  const reached = new Set(notified.map(({ id }) => id));
  return ids.filter((id) => !reached.has(id));
}
