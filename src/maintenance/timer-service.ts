import type { DatabaseClock } from '../core/clock.js';
import type { Database } from '../store/database.js';
import { refreshKnownQueues } from '../store/sql/queues.js';
import { nextTimes, wakeDueRuns } from '../store/sql/timers.js';
import { BackgroundService } from './background-service.js';

const MAX_BATCH_RUNS = 1_000;
/**
 * Minimum number of milliseconds to the next query. A query that was sent a moment too early is
 * repeated after this time.
 */
const MIN_PAUSE_MS = 2;
/**
 * Maximum number of milliseconds between queries while another transaction locks the due runs. The
 * pause doubles up to this value.
 */
const LOCKED_PAUSE_MS = 250;

export interface TimerServiceOptions {
  /**
   * Maximum number of milliseconds between two queries. A wake time that was not announced to this
   * process is noticed this late at most.
   */
  readonly maxPauseMs: number;
  /** Called with the number of runs that have become due. */
  readonly woke: (count: number) => void;
  /** Called when a run that has become due waits for a place in its queue. */
  readonly queued: (queue: string, key: string) => void;
  /** Called with the next time at which a schedule needs attention. */
  readonly scheduled: (at: number) => void;
  readonly failed: (error: unknown) => void;
}

/**
 * Makes waiting runs pending when their wake time has passed. The service knows the next wake time,
 * so runs are only milliseconds late. Every process has this service; the fastest process does the
 * work.
 */
export class TimerService extends BackgroundService {
  private next = Number.POSITIVE_INFINITY;
  private minPauseMs = MIN_PAUSE_MS;

  constructor(
    private readonly database: Database,
    private readonly clock: DatabaseClock,
    private readonly options: TimerServiceOptions,
  ) {
    super();
  }

  /**
   * Starts the service with a query at once: some runs may have become due before this process
   * started.
   */
  override start(): void {
    this.next = Number.NEGATIVE_INFINITY;
    super.start();
  }

  /** Queries at once: wake times may have been set without an announcement to this process. */
  refresh(): void {
    this.note(Number.NEGATIVE_INFINITY);
  }

  /**
   * Announces a wake time, so that the service queries no later than that.
   *
   * @param wakeAt time at which a run will be due, in milliseconds since the epoch by the
   *   database's clock
   */
  note(wakeAt: number): void {
    if (wakeAt >= this.next) return;
    this.next = wakeAt;
    this.schedule(this.pauseMs(0));
  }

  protected async work(): Promise<number> {
    let total = 0;
    try {
      this.next = Number.POSITIVE_INFINITY;
      for (let woken = MAX_BATCH_RUNS; woken === MAX_BATCH_RUNS && this.isRunning;) {
        const { count, queued } = await wakeDueRuns(this.database, MAX_BATCH_RUNS);
        woken = count;
        for (const { queue, key } of queued) this.options.queued(queue, key);
        total += woken;
        if (woken > 0) this.options.woke(woken);
      }
      const { wakeAt, scheduleAt, queues } = await nextTimes(this.database);
      if (wakeAt !== undefined) this.next = Math.min(this.next, wakeAt);
      if (scheduleAt !== undefined) this.options.scheduled(scheduleAt);
      if (queues === 'changed') await refreshKnownQueues(this.database);
    } catch (error) {
      this.options.failed(error);
    }
    const isStuck = total === 0 && this.next <= this.clock.now();
    this.minPauseMs = isStuck ? Math.min(this.minPauseMs * 2, LOCKED_PAUSE_MS) : MIN_PAUSE_MS;
    return this.pauseMs(this.minPauseMs);
  }

  private pauseMs(leastMs: number): number {
    const leftMs = Math.ceil(this.next - this.clock.now());
    return Math.max(leastMs, Math.min(leftMs, this.options.maxPauseMs));
  }
}
