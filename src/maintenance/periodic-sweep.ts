import { clearTimeout, setTimeout } from '../core/timers.js';

export interface PeriodicSweepOptions {
  readonly everyMs: number;
  readonly failed: (error: unknown) => void;
}

/** Does something now and then, never twice at a time, until it is stopped. The pause varies, so that processes do not sweep in step. */
export class PeriodicSweep {
  private timer: NodeJS.Timeout | undefined;
  private running = false;
  private working: Promise<void> | undefined;

  constructor(
    private readonly sweep: () => Promise<void>,
    private readonly options: PeriodicSweepOptions,
  ) {}

  /** The first sweep comes at once. */
  start(): void {
    this.running = true;
    this.schedule(0);
  }

  async stop(): Promise<void> {
    this.running = false;
    clearTimeout(this.timer);
    await this.working;
  }

  private schedule(pause: number): void {
    this.timer = setTimeout(() => {
      this.working = this.sweep()
        .catch((error: unknown) => this.options.failed(error))
        .then(() => {
          this.working = undefined;
          if (this.running) this.schedule(this.options.everyMs * (0.8 + Math.random() * 0.4));
        });
    }, pause);
  }
}
