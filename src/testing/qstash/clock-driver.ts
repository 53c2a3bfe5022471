import { clearTimeout, setTimeout } from 'node:timers';
import { MAX_TIMER_MS } from '../../core/timers.js';
import { ManualClock, type RealClock } from './clock.js';
import type { Dispatcher } from './dispatcher.js';

export interface ClockDriverOptions {
  /** Real milliseconds for which a manual clock waits for an answer. */
  readonly patience: number;
  /**
   * Real milliseconds for which a manual clock waits for messages that the application may publish
   * after its answer.
   */
  readonly linger: number;
}

/**
 * Makes the dispatcher start due deliveries: continuously on the real clock, on a manual clock only
 * while a test waits.
 */
export class ClockDriver {
  private alarm: NodeJS.Timeout | undefined;
  private waiters: (() => void)[] = [];
  private changes = 0;
  private driving = 0;
  private closed = false;
  private queue: Promise<void> = Promise.resolve();

  constructor(
    private readonly clock: ManualClock | RealClock,
    private readonly dispatcher: Dispatcher,
    private readonly options: ClockDriverOptions,
  ) {
    dispatcher.onEnd = () => this.changed();
  }

  /** Must be called after every change, because a delivery may have become possible. */
  changed(): void {
    this.changes += 1;
    this.work();
    for (const wake of this.waiters.splice(0)) wake();
  }

  /** Resolves when no delivery is active or due. */
  async settled(): Promise<void> {
    await this.drive(() => this.quiet());
  }

  /**
   * Moves the manual clock forward, from one due time to the next. Concurrent calls run one after
   * the other.
   */
  advance(clock: ManualClock, span: number): Promise<void> {
    const advanced = this.queue.then(() => this.drive(() => this.moveOn(clock, clock.now() + span)));
    this.queue = advanced;
    return advanced;
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.alarm);
    this.changed();
  }

  private async moveOn(clock: ManualClock, target: number): Promise<void> {
    while (!this.closed) {
      await this.quiet(this.options.patience);
      const next = this.dispatcher.nextAt();
      if (next === undefined || next > target) break;
      clock.moveTo(next);
    }
    clock.moveTo(target);
  }

  private async drive(body: () => Promise<void>): Promise<void> {
    this.driving += 1;
    try {
      await body();
    } finally {
      this.driving -= 1;
    }
  }

  /**
   * Starts due deliveries until no answer is awaited. With a timeout, stops waiting for answers
   * that do not arrive in time.
   */
  private async quiet(patience?: number): Promise<void> {
    let lingeredAt = -1;
    while (!this.closed) {
      this.work();
      if (patience === undefined ? this.dispatcher.active > 0 : this.dispatcher.awaitsAnswers()) {
        if (!(await this.change(patience))) this.dispatcher.giveUpWaiting();
      } else if (this.options.linger > 0 && this.clock instanceof ManualClock && lingeredAt !== this.changes) {
        lingeredAt = this.changes;
        await this.change(this.options.linger);
      } else return;
    }
  }

  /** Resolves to true at the next change, and to false when nothing changes within the time. */
  private change(within?: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = within === undefined ? undefined : setTimeout(() => resolve(false), within);
      this.waiters.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  private work(): void {
    if (this.closed) return;
    if (this.clock instanceof ManualClock) {
      if (this.driving > 0) this.dispatcher.pump();
      return;
    }
    this.dispatcher.pump();
    clearTimeout(this.alarm);
    const next = this.dispatcher.nextAt();
    if (next !== undefined) this.alarm = setTimeout(() => this.changed(), Math.min(MAX_TIMER_MS, Math.max(0, next - this.clock.now())));
  }
}
