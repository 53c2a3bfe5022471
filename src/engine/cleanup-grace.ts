import type { OpenWait, StepRecord } from '../core/step.js';
import { CANCEL_KEY } from './step-keys.js';
import type { Timers } from './timers.js';

/**
 * Shortest interval in which the time is counted. The interval is longer when the time is longer
 * than 30 of them.
 */
const LEAST_TICK_MS = 1_000;
const TICKS = 30;

/** Receives the end of a cleanup grace, and says when its time counts. */
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
 * Time counts only while the code can make progress: not while the run has no owner, the process is
 * frozen, or the database accepts no writes. So neither a crash nor a deployment uses the time up.
 * A pass begins with all of it, or with the rest of the last suspension. Time that the code spends
 * waiting counts.
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
    this.tickMs = Math.max(LEAST_TICK_MS, graceMs / TICKS);
    this.schedule();
  }

  /** Time at which the grace ends, if all time counts from now on. */
  get end(): number {
    return this.countedAt + this.leftMs;
  }

  /** Returns the remaining time as a wait, for the pass after a suspension. */
  suspend(): OpenWait {
    const openedAt = Math.floor(this.alarms.now());
    return { stepKey: CANCEL_KEY, kind: 'grace', name: null, wakeAt: Math.ceil(this.end), attempts: ++this.suspensions, openedAt };
  }

  private schedule(): void {
    this.alarms.set(CANCEL_KEY, this.countedAt + Math.min(this.leftMs, this.tickMs), () => this.count());
  }

  private count(): void {
    const now = this.alarms.now();
    // Limits the time of one tick: a tick that is much too late comes from a frozen process.
    if (this.delegate.canProgress()) this.leftMs -= Math.min(now - this.countedAt, 2 * this.tickMs);
    this.countedAt = now;
    if (this.leftMs <= 0) this.delegate.graceUsedUp();
    else this.schedule();
  }
}

/**
 * Returns the time that the code has waited since the suspension, in waits that began after the
 * cancellation.
 */
function waited(suspended: OpenWait, waits: readonly OpenWait[], cancel: StepRecord, now: number): number {
  const open = waits.filter((wait) => wait !== suspended && wait.openedAt >= cancel.finishedAt);
  const until = Math.min(now, ...open.map((wait) => wait.wakeAt ?? Number.POSITIVE_INFINITY));
  return open.length === 0 ? 0 : Math.max(0, until - suspended.openedAt);
}
