import { performance } from 'node:perf_hooks';
import { clearTimeout, setTimeout } from '../../core/timers.js';

/** Methods of a worker that the poller calls. */
export interface Pollable {
  /** Claims due runs if the worker has room for more runs. */
  wake(): void;
  /**
   * Compares the active runs with their rows in the database, to find changes that no notification
   * has announced.
   */
  reconcile(): Promise<void>;
}

export interface PollerOptions {
  /** Shortest pause between two polls, in milliseconds. */
  readonly pollIntervalMs: number;
  /**
   * Longest pause between two polls, in milliseconds. Also the shortest time between two
   * comparisons of the active runs with the database.
   */
  readonly maxPollIntervalMs: number;
  readonly failed: (error: unknown) => void;
}

/**
 * Makes the worker query for due runs: at once when a run is known to be due, and periodically
 * because notifications may be lost. The pause between two polls grows with each poll, so an idle
 * process polls about once a second. A run that is known to be due resets the pause.
 */
export class Poller {
  private timer: NodeJS.Timeout | undefined;
  private pause: number;
  private running = false;
  private reconciledAt = 0;
  /** Current or latest poll. */
  private polling: Promise<void> = Promise.resolve();

  constructor(
    private readonly worker: Pollable,
    private readonly options: PollerOptions,
  ) {
    this.pause = options.pollIntervalMs;
  }

  start(): void {
    this.running = true;
    this.schedule();
  }

  /** Polls at once, because a run is known to be due. */
  pollNow(): void {
    if (!this.running) return;
    this.pause = this.options.pollIntervalMs;
    this.worker.wake();
  }

  /** Stops polling. Resolves when the current poll has ended. */
  stop(): Promise<void> {
    this.running = false;
    clearTimeout(this.timer);
    return this.polling;
  }

  private schedule(): void {
    this.timer = setTimeout(() => void (this.polling = this.poll()), this.pause);
  }

  private async poll(): Promise<void> {
    this.pause = Math.min(this.pause * 1.5, this.options.maxPollIntervalMs);
    this.worker.wake();
    try {
      if (performance.now() - this.reconciledAt >= this.options.maxPollIntervalMs) {
        this.reconciledAt = performance.now();
        await this.worker.reconcile();
      }
    } catch (error) {
      this.options.failed(error);
    }
    if (this.running) this.schedule();
  }
}
