import { clearTimeout, setTimeout } from 'node:timers';
import { MAX_TIMER_MS } from '../../core/timers.js';
import { ManualClock, type RealClock } from './clock.js';
import type { Dispatcher } from './dispatcher.js';

export interface ClockDriverOptions {
  /** Milliseconds of real time for which a manual clock waits for an answer. */
  readonly answerTimeoutMs: number;
  /**
   * Milliseconds of real time for which a manual clock waits for new messages after an answer,
   * because the application may publish messages after its answer.
   */
  readonly quietPeriodMs: number;
}

/**
 * Makes the dispatcher start due deliveries. With the real clock, deliveries start as soon as they
 * are due. With a manual clock, deliveries start only while a test waits in `advance()` or
 * `settled()`.
 */
export class ClockDriver {
  private timer: NodeJS.Timeout | undefined;
  private waiters: (() => void)[] = [];
  private changes = 0;
  private activeWaits = 0;
  private closed = false;
  private queue: Promise<void> = Promise.resolve();

  constructor(
    private readonly clock: ManualClock | RealClock,
    private readonly dispatcher: Dispatcher,
    private readonly options: ClockDriverOptions,
  ) {}

  /**
   * Starts deliveries that have become possible. The emulator must call this method after every
   * change of messages, limits or schedules, and after every delivery.
   */
  changed(): void {
    this.changes += 1;
    this.startDue();
    for (const wake of this.waiters.splice(0)) wake();
  }

  /** Resolves when no delivery is active or due. */
  async settled(): Promise<void> {
    await this.drive(() => this.untilQuiet());
  }

  /**
   * Moves the manual clock forward by `spanMs`, and stops at each time at which a delivery is due.
   * Concurrent calls are executed one after the other.
   */
  advance(clock: ManualClock, spanMs: number): Promise<void> {
    const advanced = this.queue.then(() => this.drive(() => this.moveForward(clock, clock.now() + spanMs)));
    this.queue = advanced;
    return advanced;
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.changed();
  }

  private async moveForward(clock: ManualClock, target: number): Promise<void> {
    while (!this.closed) {
      await this.untilQuiet(this.options.answerTimeoutMs);
      const next = this.dispatcher.nextAt();
      if (next === undefined || next > target) break;
      clock.moveTo(next);
    }
    clock.moveTo(target);
  }

  private async drive(body: () => Promise<void>): Promise<void> {
    this.activeWaits += 1;
    try {
      await body();
    } finally {
      this.activeWaits -= 1;
    }
  }

  /**
   * Starts due deliveries, and resolves when all answers have arrived. With a timeout, waits for
   * each answer no longer than the timeout.
   */
  private async untilQuiet(answerTimeoutMs?: number): Promise<void> {
    let lastQuietAt = -1;
    while (!this.closed) {
      this.startDue();
      if (answerTimeoutMs === undefined ? this.dispatcher.active > 0 : this.dispatcher.awaitsAnswers()) {
        if (!(await this.nextChange(answerTimeoutMs))) this.dispatcher.stopAwaiting();
      } else if (this.options.quietPeriodMs > 0 && this.clock instanceof ManualClock && lastQuietAt !== this.changes) {
        lastQuietAt = this.changes;
        await this.nextChange(this.options.quietPeriodMs);
      } else return;
    }
  }

  /**
   * Resolves to true at the next call of `changed()`, or to false when the timeout passes first.
   */
  private nextChange(timeoutMs?: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = timeoutMs === undefined ? undefined : setTimeout(() => resolve(false), timeoutMs);
      this.waiters.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  private startDue(): void {
    if (this.closed) return;
    if (this.clock instanceof ManualClock) {
      if (this.activeWaits > 0) this.dispatcher.startDue();
      return;
    }
    this.dispatcher.startDue();
    clearTimeout(this.timer);
    const next = this.dispatcher.nextAt();
    if (next !== undefined) this.timer = setTimeout(() => this.changed(), Math.min(MAX_TIMER_MS, Math.max(0, next - this.clock.now())));
  }
}
