import type { OpenWait, StepRecord } from '../core/step.js';
import { CANCEL_KEY } from './step-keys.js';
import type { Timers } from './timers.js';

/** The time is counted every second, or so many times where it is longer. */
const LEAST_TICK_MS = 1_000;
const TICKS = 30;

/** What a grace period asks for, and reports to. */
export interface CleanupGraceDelegate {
  /** True when the code can make progress: the process owns the run and the database accepts writes. */
  canProgress(): boolean;
  graceUsedUp(): void;
}

/**
 * The time that `catch` and `finally` of a cancelled run have. Only time in which they could get on counts: not while nobody has the run, or the process is
 * frozen, or the database takes nothing. So neither a crash nor a deploy uses it up: a pass begins with all of it, or with what was left when the run was
 * last suspended; time that the code spends waiting counts.
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

  /** When it is over, if all time counts from now on. */
  get end(): number {
    return this.countedAt + this.leftMs;
  }

  /** What is left of it, for the pass after a suspension. */
  suspend(): OpenWait {
    const openedAt = Math.floor(this.alarms.now());
    return { stepKey: CANCEL_KEY, kind: 'grace', name: null, wakeAt: Math.ceil(this.end), attempts: ++this.suspensions, openedAt };
  }

  private schedule(): void {
    this.alarms.set(CANCEL_KEY, this.countedAt + Math.min(this.leftMs, this.tickMs), () => this.count());
  }

  private count(): void {
    const now = this.alarms.now();
    // A tick that comes much too late comes from a process that was frozen.
    if (this.delegate.canProgress()) this.leftMs -= Math.min(now - this.countedAt, 2 * this.tickMs);
    this.countedAt = now;
    if (this.leftMs <= 0) this.delegate.graceUsedUp();
    else this.schedule();
  }
}

/** For how long the code has waited since the suspension, for something that it began to wait for after the cancellation. */
function waited(suspended: OpenWait, waits: readonly OpenWait[], cancel: StepRecord, now: number): number {
  const open = waits.filter((wait) => wait !== suspended && wait.openedAt >= cancel.finishedAt);
  const until = Math.min(now, ...open.map((wait) => wait.wakeAt ?? Number.POSITIVE_INFINITY));
  return open.length === 0 ? 0 : Math.max(0, until - suspended.openedAt);
}
