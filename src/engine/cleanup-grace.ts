import type { OpenWait, StepRecord } from '../core/step.js';
import { CANCEL_KEY } from '../core/step-key-format.js';
import type { Timers } from './timers.js';

/**
 * Shortest time, in milliseconds, between two counts of the used cleanup time. A cleanup time above
 * 30 seconds is divided into 30 intervals.
 */
const MIN_TICK_MS = 1_000;
const TICKS = 30;

/** Decides when cleanup time counts as used. Notified when no cleanup time is left. */
export interface CleanupGraceDelegate {
  /**
   * True when the code can make progress: the process owns the run, and the database accepts
   * writes.
   */
  canProgress(): boolean;
  graceUsedUp(): void;
}

/**
 * Time that `catch` and `finally` of a cancelled run have for cleanup.
 *
 * Time counts only while the code can make progress. It does not count while no worker owns the
 * run, the process is frozen, or the database accepts no writes. So neither a crash nor a
 * deployment uses the time up. Time that the code spends waiting counts. A pass begins with the
 * full time, or with the time that was left at the last suspension.
 */
export class CleanupGrace {
  private leftMs: number;
  private countedAt: number;
  private suspensions: number;
  private readonly tickMs: number;

  constructor(
    cancel: StepRecord,
    waits: readonly OpenWait[],
    graceMs: number,
    private readonly alarms: Timers,
    private readonly delegate: CleanupGraceDelegate,
  ) {
    const now = alarms.now();
    const suspended = waits.find((wait) => wait.stepKey === CANCEL_KEY);
    this.suspensions = suspended?.attempts ?? 0;
    this.leftMs = suspended ? suspended.wakeAt! - suspended.openedAt - waited(suspended, waits, cancel, now) : graceMs;
    this.countedAt = now;
    this.tickMs = Math.max(MIN_TICK_MS, graceMs / TICKS);
    this.schedule();
  }

  /** Time at which the cleanup time is used up, if all time from now on counts. */
  get end(): number {
    return this.countedAt + this.leftMs;
  }

  /**
   * Returns the remaining time as a wait record, from which the pass after a suspension continues.
   */
  suspend(): OpenWait {
    const openedAt = Math.floor(this.alarms.now());
    return { stepKey: CANCEL_KEY, kind: 'grace', name: null, wakeAt: Math.ceil(this.end), attempts: ++this.suspensions, openedAt };
  }

  private schedule(): void {
    this.alarms.set(CANCEL_KEY, this.countedAt + Math.min(this.leftMs, this.tickMs), () => this.count());
  }

  private count(): void {
    const now = this.alarms.now();
    // Limits the time that one tick counts. A tick that is much too late shows that the process was
    // frozen, and frozen time does not count.
    if (this.delegate.canProgress()) this.leftMs -= Math.min(now - this.countedAt, 2 * this.tickMs);
    this.countedAt = now;
    if (this.leftMs <= 0) this.delegate.graceUsedUp();
    else this.schedule();
  }
}

/**
 * Returns the milliseconds that the code has waited since the suspension. Only waits that began
 * after the cancellation count.
 */
function waited(suspended: OpenWait, waits: readonly OpenWait[], cancel: StepRecord, now: number): number {
  const open = waits.filter((wait) => wait !== suspended && wait.openedAt >= cancel.finishedAt);
  const until = Math.min(now, ...open.map((wait) => wait.wakeAt ?? Number.POSITIVE_INFINITY));
  return open.length === 0 ? 0 : Math.max(0, until - suspended.openedAt);
}
