import { clearTimeout, setTimeout } from '../core/timers.js';
import type { DatabaseClock } from '../core/clock.js';
import type { Database } from '../store/database.js';
import { nextWakeTime, wakeDueRuns } from '../store/sql/timers.js';

const BATCH = 1_000;
/** The pause after a look that came a moment too early; twice as long each time that what is due is not to be had, because somebody locks it. */
const LEAST_PAUSE_MS = 2;
const LOCKED_PAUSE_MS = 250;

export interface TimerServiceOptions {
  /** The longest pause between two looks, in milliseconds: how late a wake time that nobody told of is noticed. */
  readonly maxPauseMs: number;
  /** Runs have become due. */
  readonly woke: (count: number) => void;
  readonly failed: (error: unknown) => void;
}

/**
 * Makes waiting runs pending when their time has come. The next wake time is known, so that they are late by milliseconds; every process does this, and
 * whoever comes first does the work.
 */
export class TimerService {
  private timer: NodeJS.Timeout | undefined;
  private next = Number.POSITIVE_INFINITY;
  private looking = false;
  private leastPauseMs = LEAST_PAUSE_MS;
  private running = false;

  constructor(
    private readonly database: Database,
    private readonly clock: DatabaseClock,
    private readonly options: TimerServiceOptions,
  ) {}

  /** Looks at once: what fell due before this process was there has waited long enough. */
  start(): void {
    this.running = true;
    this.refresh();
  }

  /** Wake times may have been set that nobody told of. */
  refresh(): void {
    this.note(Number.NEGATIVE_INFINITY);
  }

  /** A run will be due then, milliseconds since the epoch by the database's clock. */
  note(wakeAt: number): void {
    if (wakeAt >= this.next) return;
    this.next = wakeAt;
    if (this.running && !this.looking) this.schedule();
  }

  async stop(): Promise<void> {
    this.running = false;
    clearTimeout(this.timer);
    while (this.looking) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  private schedule(leastMs = 0): void {
    clearTimeout(this.timer);
    const left = Math.ceil(this.next - this.clock.now());
    this.timer = setTimeout(() => void this.look(), Math.max(leastMs, Math.min(left, this.options.maxPauseMs)));
  }

  private async look(): Promise<void> {
    this.looking = true;
    let total = 0;
    try {
      this.next = Number.POSITIVE_INFINITY;
      for (let woken = BATCH; woken === BATCH && this.running;) {
        woken = await wakeDueRuns(this.database, BATCH);
        total += woken;
        if (woken > 0) this.options.woke(woken);
      }
      const next = await nextWakeTime(this.database);
      if (next !== undefined) this.next = Math.min(this.next, next);
    } catch (error) {
      this.options.failed(error);
    } finally {
      this.looking = false;
      const isStuck = total === 0 && this.next <= this.clock.now();
      this.leastPauseMs = isStuck ? Math.min(this.leastPauseMs * 2, LOCKED_PAUSE_MS) : LEAST_PAUSE_MS;
      if (this.running) this.schedule(this.leastPauseMs);
    }
  }
}
