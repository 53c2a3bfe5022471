import { clearTimeout, setTimeout } from '../core/timers.js';

/**
 * Work that a process does again and again in the background, never twice at a time. The work
 * itself says how long to pause before it is done again.
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

  /** Begins no further work. Resolves when the work under way has ended. */
  async stop(): Promise<void> {
    this.running = false;
    clearTimeout(this.timer);
    await this.working;
  }

  protected get isRunning(): boolean {
    return this.running;
  }

  /**
   * Does the work once. Never rejects. Resolves to the pause before the next time, in milliseconds.
   */
  protected abstract work(): Promise<number>;

  /**
   * Changes when the work is done next. Has no effect while the work is under way, or after `stop`.
   */
  protected schedule(pauseMs: number): void {
    if (!this.running || this.working) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.working = this.work().then((nextPauseMs) => {
        this.working = undefined;
        this.schedule(nextPauseMs);
      });
    }, pauseMs);
  }
}
