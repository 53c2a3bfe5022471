import { performance } from 'node:perf_hooks';
import { clearTimeout, setTimeout } from '../../core/timers.js';

/** What a poller drives. */
export interface Pollable {
  /** Look for due runs, if there is room. */
  wake(): void;
  /** Compare what is in hand with what the database says. */
  reconcile(): Promise<void>;
}

export interface PollerOptions {
  /** The shortest and the longest pause between two looks, in milliseconds. */
  readonly pollIntervalMs: number;
  readonly maxPollIntervalMs: number;
  readonly failed: (error: unknown) => void;
}

/**
 * Tells the worker to look: at once when a notice says that something is due, and now and then because notices may be lost. The pause grows
 * while nothing happens, so that an idle process asks about once a second.
 */
export class Poller {
  private timer: NodeJS.Timeout | undefined;
  private pause: number;
  private running = false;
  private reconciledAt = 0;
  /** The look under way, or the last one. */
  private looking: Promise<void> = Promise.resolve();

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

  /** Something is known to be due. */
  poke(): void {
    if (!this.running) return;
    this.pause = this.options.pollIntervalMs;
    this.worker.wake();
  }

  /** Begins no further look. Resolves when the one under way has ended. */
  stop(): Promise<void> {
    this.running = false;
    clearTimeout(this.timer);
    return this.looking;
  }

  private schedule(): void {
    this.timer = setTimeout(() => void (this.looking = this.look()), this.pause);
  }

  private async look(): Promise<void> {
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
