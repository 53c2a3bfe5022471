import { outside } from '../core/outside.js';
import { clearTimeout, setTimeout } from '../core/timers.js';

/**
 * Work that a process repeats in the background, never twice at the same time. Each execution
 * returns the pause before the next one.
 */
export abstract class BackgroundService {
  private timer: NodeJS.Timeout | undefined;
  private working: Promise<void> | undefined;
  private running = false;

  /** Does the work for the first time as soon as possible. */
  start(): void {
    this.running = true;
    this.schedule(0);
  }

  /** Begins no further work. Resolves when the current work has ended. */
  async stop(): Promise<void> {
    this.running = false;
    clearTimeout(this.timer);
    await this.working;
  }

  /** True while the work is being done. */
  protected get isWorking(): boolean {
    return this.working !== undefined;
  }

  protected get isRunning(): boolean {
    return this.running;
  }

  /**
   * Does the work once. Never rejects. Resolves to the milliseconds to pause before the next time;
   * infinity when only `schedule` begins the work again.
   */
  protected abstract work(): Promise<number>;

  /**
   * Returns the pause after work that has just ended. A call that arrives after the work has
   * computed its pause, and before the service can be scheduled again, would otherwise be lost.
   */
  protected latestPauseMs(): number {
    return Number.POSITIVE_INFINITY;
  }

  /**
   * Sets the milliseconds until the work is done next. Has no effect during the work, or after
   * `stop`.
   */
  protected schedule(pauseMs: number): void {
    if (!this.running || this.working) return;
    clearTimeout(this.timer);
    if (pauseMs === Number.POSITIVE_INFINITY) return;
    this.timer = setTimeout(() => this.workOnce(), pauseMs);
  }

  /** Begins the work at once. Has no effect during the work, or when the service does not run. */
  protected workNow(): void {
    if (!this.running || this.working) return;
    clearTimeout(this.timer);
    outside(() => this.workOnce());
  }

  private workOnce(): void {
    this.working = this.work().then((nextPauseMs) => {
      this.working = undefined;
      this.schedule(Math.min(nextPauseMs, this.latestPauseMs()));
    });
  }
}
