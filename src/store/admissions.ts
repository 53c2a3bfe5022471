import { performance } from 'node:perf_hooks';

import type { DueRun } from '../core/run.js';
import type { ClockAlarm, DatabaseClock } from '../core/clock.js';
import { within } from '../core/async.js';
import { clearTimeout, setTimeout, sleep } from '../core/timers.js';
import { faultOf, type DatabaseFault } from './database-errors.js';
import type { Database } from './database.js';
import { admitApart, noteAdmitted } from './sql/admit-apart.js';
import { admitRuns, type Admission } from './sql/admit-runs.js';
import type { Claim, ClaimedRun } from './sql/claim-runs.js';
import { readOpenedKeys } from './sql/opened-keys.js';

/**
 * Milliseconds before its slot of a rate limit at which a run is admitted. The time must suffice
 * for a worker to claim the run, because a run that begins late takes another slot.
 */
const AHEAD_MS = 500;
/** Milliseconds before the next try when another process holds the row of the queue. */
const LOCKED_PAUSE_MS = 20;
/** Number of such pauses for which `settled` waits. */
const SETTLED_PAUSES = 50;
/** Milliseconds for which `settledSoon` waits. */
const SOON_MS = 3_000;
/** Largest number of keys of one admission, which holds the row of the queue meanwhile. */
const MOST_KEYS = 500;
/** Largest number of keys that a next try names. With more, the next try looks at all keys. */
const MOST_RETRIED_KEYS = 10_000;
/** Milliseconds before the next try while the database does not answer. */
const FAILED_PAUSE_MS = 1_000;
/** Milliseconds for which a queue is admitted run by run after the database has refused a run. */
const APART_MS = 10_000;

/** Claim of runs in the statement that admits them. */
export interface AdmissionClaim {
  readonly claim: Claim;
  /** Begins the claimed runs, and gives back the room that was reserved for more. */
  end(claimed: readonly ClaimedRun[]): void;
}

/** Functions that admissions call. */
export interface AdmissionsPort {
  /** Announces runs that were admitted. */
  readonly due: (runs: readonly DueRun[]) => Promise<void>;
  readonly failed: (error: unknown) => void;
  /** Called when a rate limit allows more runs at a later time, in milliseconds since the epoch. */
  readonly opensAt?: (at: number) => unknown;
}

/** Worker that claims runs of limited queues as soon as they are admitted. */
export interface AdmissionClaimant {
  /** Reserves room for runs of a queue. Returns undefined when the worker takes none now. */
  prepare(queue: string): AdmissionClaim | undefined;
}

/**
 * Admits runs of queues with limits: after starts, when a place is free again, and when a rate
 * limit allows more. Requests for the same queue share one statement. A lost request does no harm,
 * because a sweep of the workers finds runs that wait although there is a place.
 */
export class Admissions {
  /** Worker of this process that takes admitted runs; undefined without one. */
  claimant: AdmissionClaimant | undefined;
  /** Keys to look at, by queue; `all` for a look at all keys. */
  private readonly requests = new Map<string, Set<string> | 'all'>();
  /** Times at which rate limits allow more, by queue. */
  private readonly alarms = new Map<string, ClockAlarm & { readonly at: number }>();
  /** Next tries after a lock, by queue, with the keys to look at. */
  private readonly retries = new Map<string, { readonly timer: NodeJS.Timeout; readonly keys: readonly string[] | undefined }>();
  /** Times until which queues are admitted run by run, by performance.now(). */
  private readonly apartUntil = new Map<string, number>();
  /** Milliseconds that the last look at all keys took, by queue. */
  private readonly lookMs = new Map<string, number>();
  private working: Promise<void> | undefined;
  private isClosed = false;

  constructor(
    private readonly database: Database,
    private readonly clock: Pick<DatabaseClock, 'now' | 'at'>,
    private readonly port: AdmissionsPort,
  ) {}

  /**
   * Requests the admission of runs that wait. Resolves when the requested runs were admitted, as
   * far as there are places.
   *
   * @param key key of a new run or of a free place (default: all keys)
   */
  request(queue: string, key?: string | null): Promise<void> {
    if (this.isClosed) return Promise.resolve();
    const known = this.requests.get(queue);
    if (key === undefined || key === null) this.requests.set(queue, 'all');
    else if (known === undefined) this.requests.set(queue, new Set([key]));
    else if (known !== 'all') known.add(key);
    this.working ??= this.work();
    return this.working;
  }

  /** Requests the admission of runs for the place of a run that has ended or is suspended. */
  placeFreed(queue: string, key: string): void {
    // Where only a rate is limited, no run waits for a place.
    if (this.database.queues.queue(queue)?.hasPlaces !== false) void this.request(queue, key);
  }

  /** True while an admission is in progress, or is about to be tried again. */
  get isBusy(): boolean {
    return this.working !== undefined || this.retries.size > 0;
  }

  /** Returns the milliseconds that the last admission of all keys of a queue took. */
  lastLookMs(queue: string): number {
    return this.lookMs.get(queue) ?? 0;
  }

  /** Milliseconds until a rate limit allows more, as far as this process knows; else undefined. */
  private get nextMs(): number | undefined {
    const next = Math.min(...[...this.alarms.values()].map(({ at }) => at));
    return Number.isFinite(next) ? Math.max(0, next - this.clock.now()) : undefined;
  }

  /**
   * Resolves when no admission is in progress. Also waits for admissions that are tried again,
   * because a platform may freeze the process afterwards; not for longer than some seconds.
   */
  async settled(): Promise<void> {
    for (let pauses = 0; this.isBusy;) {
      if (this.working) await this.working;
      else if (pauses++ < SETTLED_PAUSES) await sleep(LOCKED_PAUSE_MS);
      else return;
    }
  }

  /**
   * Resolves like `settled`, but after some seconds at the latest, because other starts may follow
   * for ever. A start waits for this where a platform may freeze the process afterwards.
   */
  async settledSoon(): Promise<void> {
    await within(SOON_MS, this.settled());
  }

  /** Admits nothing more. Other processes sweep the queues. */
  close(): void {
    this.isClosed = true;
    this.requests.clear();
    for (const alarm of this.alarms.values()) alarm.cancel();
    for (const { timer } of this.retries.values()) clearTimeout(timer);
    this.alarms.clear();
    this.retries.clear();
  }

  private async work(): Promise<void> {
    // Waits for a microtask, so that requests of the same code share one statement.
    await Promise.resolve();
    for (let next = this.take(); next && !this.isClosed; next = this.take()) await this.admit(...next);
    this.working = undefined;
  }

  private take(): [queue: string, keys: readonly string[] | undefined] | undefined {
    for (const [queue, keys] of this.requests) {
      this.requests.delete(queue);
      if (keys === 'all') return [queue, undefined];
      const all = [...keys];
      if (all.length > MOST_KEYS) this.requests.set(queue, new Set(all.slice(MOST_KEYS)));
      return [queue, all.slice(0, MOST_KEYS)];
    }
    return undefined;
  }

  private async admit(queue: string, keys: readonly string[] | undefined): Promise<void> {
    try {
      const began = performance.now();
      const isApart = (this.apartUntil.get(queue) ?? 0) > performance.now();
      const { runs, moreMs } = isApart ? await this.admitApart(queue) : await this.admitTogether(queue, keys);
      if (keys === undefined) this.lookMs.set(queue, performance.now() - began);
      if (runs.length > 0) await this.port.due(runs);
      if (moreMs === 0) this.requestAgain(queue, keys);
      else if (moreMs !== undefined) this.later(queue, moreMs);
    } catch (error) {
      if (this.isClosed) return;
      const fault = faultOf(error);
      if (fault === 'locked' || fault === 'conflict') return this.retry(queue, keys, LOCKED_PAUSE_MS);
      this.port.failed(error);
      if (isPassing(fault)) this.retry(queue, keys, FAILED_PAUSE_MS);
    }
  }

  /** Requests the same admission again. */
  private requestAgain(queue: string, keys: readonly string[] | undefined): void {
    for (const key of keys ?? [undefined]) void this.request(queue, key);
  }

  /** Admits runs in one statement. One run that the database refuses must not hold up its queue. */
  private async admitTogether(queue: string, keys: readonly string[] | undefined): Promise<Pick<Admission, 'runs' | 'moreMs'>> {
    try {
      return await this.admitAndClaim(queue, keys);
    } catch (error) {
      if (faultOf(error) !== 'data') throw error;
      return this.admitApart(queue);
    }
  }

  private async admitApart(queue: string): Promise<Pick<Admission, 'runs' | 'moreMs'>> {
    const admission = await admitApart(this.database, queue, AHEAD_MS);
    if (admission.refused > 0) this.apartUntil.set(queue, performance.now() + APART_MS);
    else this.apartUntil.delete(queue);
    return admission;
  }

  private async admitAndClaim(queue: string, keys: readonly string[] | undefined): Promise<Admission> {
    const prepared = this.claimant?.prepare(queue);
    let claimed: readonly ClaimedRun[] = [];
    try {
      const admission = await admitRuns(this.database, queue, keys, AHEAD_MS, prepared?.claim);
      claimed = admission.claimed;
      noteAdmitted(this.database, [...admission.runs, ...claimed]);
      return admission;
    } finally {
      prepared?.end(claimed);
    }
  }

  /**
   * Requests an admission when the rate limit allows more. An earlier alarm stays: it may be for
   * other keys than those at which the last admission has looked.
   */
  private later(queue: string, pauseMs: number): void {
    if (this.isClosed) return;
    const at = this.clock.now() + pauseMs;
    const known = this.alarms.get(queue);
    if (known && known.at <= at) return void this.port.opensAt?.(known.at);
    known?.cancel();
    const alarm = this.clock.at(at, () => {
      this.alarms.delete(queue);
      void this.requestOpened(queue);
    });
    this.alarms.set(queue, { at, cancel: () => alarm.cancel() });
    this.port.opensAt?.(at);
  }

  /**
   * Admits runs of all queues with rate limits, as far as the limits allow more now. Returns the
   * milliseconds until a limit allows more, undefined without one.
   */
  async admitOpened(): Promise<number | undefined> {
    await Promise.all(this.database.queues.rated.map((queue) => this.requestOpened(queue)));
    await this.settled();
    return this.nextMs;
  }

  /** Requests the admission of the keys whose rate limit allows more now. */
  private async requestOpened(queue: string): Promise<void> {
    try {
      const { keys, moreMs } = await readOpenedKeys(this.database, queue, AHEAD_MS);
      if (keys === 'all') return void this.request(queue);
      for (const key of keys) void this.request(queue, key);
      if (moreMs !== undefined) this.later(queue, Math.max(moreMs - AHEAD_MS / 2, 1));
    } catch (error) {
      if (this.isClosed) return;
      this.port.failed(error);
      if (isPassing(faultOf(error))) this.later(queue, FAILED_PAUSE_MS);
    }
  }

  /**
   * Requests the admission of the same keys again. A look at all keys instead would hold the row of
   * the queue for long, and make further requests find the row locked. The timer does not keep the
   * process alive.
   */
  private retry(queue: string, keys: readonly string[] | undefined, pauseMs: number): void {
    const known = this.retries.get(queue);
    clearTimeout(known?.timer);
    const merged = known === undefined ? keys : known.keys && keys && [...new Set([...known.keys, ...keys])];
    const all = merged && merged.length > MOST_RETRIED_KEYS ? undefined : merged;
    const timer = setTimeout(
      () => {
        this.retries.delete(queue);
        this.requestAgain(queue, all);
      },
      pauseMs * (0.5 + Math.random()),
    );
    this.retries.set(queue, { timer: timer.unref(), keys: all });
  }
}

/** True for a fault that ends without an administrator. Other faults wait for the sweep. */
function isPassing(fault: DatabaseFault): boolean {
  return fault === 'connection' || fault === 'cancelled';
}
