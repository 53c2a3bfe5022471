import type { Warn } from '../core/log-fields.js';
import { BackgroundService } from './background-service.js';
import type { Sweep } from './sweep.js';

/**
 * Repeats one sweep. The pauses vary a little, so that the sweeps of several processes do not all
 * begin at the same moment.
 */
export class PeriodicSweep extends BackgroundService {
  private readonly stopping = new AbortController();

  constructor(
    private readonly sweep: Sweep,
    private readonly warn: Warn,
  ) {
    super();
  }

  /** Sweeps at once, unless a sweep is in progress. */
  sweepNow(): void {
    this.schedule(0);
  }

  override stop(): Promise<void> {
    this.stopping.abort();
    return super.stop();
  }

  protected async work(): Promise<number> {
    let dueInMs: number | undefined;
    try {
      dueInMs = await this.sweep.run(this.stopping.signal);
    } catch (error) {
      this.warn('sweep-failed', this.sweep.failure, error);
    }
    return Math.min(Math.max(dueInMs ?? Number.POSITIVE_INFINITY, 1), this.sweep.everyMs) * (0.9 + Math.random() * 0.2);
  }
}
