import type { ClockAlarm, DatabaseClock } from '../core/clock.js';
import { clearTimeout, setImmediate, setTimeout } from '../core/timers.js';
import { faultOf } from '../store/database-errors.js';
import type { Database } from '../store/database.js';
import type { ClaimedRun } from '../store/sql/claim-runs.js';
import { reserveQueueSlots } from '../store/sql/queue-slots.js';

/** Milliseconds before the next try when a new slot could not be reserved. */
const RETRY_MS = 100;
/** Maximum number of slots that one statement reserves. */
const MOST_SLOTS = 100;

interface Held {
  readonly run: ClaimedRun;
  readonly begin: () => void;
  /** Opening of the slot, unless `retry` is set. */
  alarm: ClockAlarm | undefined;
  /** Next try to reserve a slot. */
  retry: NodeJS.Timeout | undefined;
}

/**
 * Holds claimed runs until their slot of a rate limit opens. A run that would begin too late after
 * its slot gets another slot, because otherwise a window could contain too many starts.
 */
export class OpeningTimes {
  private readonly held = new Map<string, Held>();
  private readonly opened = new Map<string, (() => void)[]>();
  /** Runs that need another slot, by queue. */
  private readonly late = new Map<string, Held[]>();

  /**
   * @param failed called with errors of the database
   */
  constructor(
    private readonly database: Database,
    private readonly clock: Pick<DatabaseClock, 'now' | 'at'>,
    private readonly failed: (error: unknown) => void,
  ) {}

  /** Claimed runs that have not begun. */
  get runs(): ClaimedRun[] {
    return [...this.held.values()].map(({ run }) => run);
  }

  /** Calls `begin` when the slot of the run opens. */
  hold(run: ClaimedRun, opensAt: number, begin: () => void): void {
    const held: Held = { run, begin, alarm: undefined, retry: undefined };
    this.held.set(run.id, held);
    this.beginAt(held, opensAt);
  }

  /** Resolves when the run has begun, or is not held any more. */
  whenOpened(runId: string): Promise<void> {
    if (!this.held.has(runId)) return Promise.resolve();
    return new Promise((resolve) => this.opened.set(runId, [...(this.opened.get(runId) ?? []), resolve]));
  }

  /** Forgets the held runs, and returns them. */
  reset(): ClaimedRun[] {
    const { runs } = this;
    for (const held of this.held.values()) this.forget(held);
    return runs;
  }

  private beginAt(held: Held, opensAt: number): void {
    if (this.held.get(held.run.id) !== held) return;
    held.alarm = undefined;
    if (opensAt > this.clock.now()) {
      held.alarm = this.clock.at(opensAt, () => this.beginAt(held, opensAt));
      return;
    }
    const queue = this.database.queues.queue(held.run.queue);
    if (queue?.hasRate && this.clock.now() > opensAt + queue.latenessMs) return this.reserve(held);
    this.forget(held);
    held.begin();
  }

  /** Reserves another slot. Runs of a queue that are late together share one statement. */
  private reserve(held: Held): void {
    const { queue } = held.run;
    const late = this.late.get(queue);
    if (late) return void late.push(held);
    this.late.set(queue, [held]);
    void this.reserveAll(queue);
  }

  private async reserveAll(queue: string): Promise<void> {
    // Many timers fire after a pause of the event loop. The immediate runs after all of them.
    await new Promise((resolve) => setImmediate(resolve));
    for (let batch = this.takeLate(queue); batch.length > 0; batch = this.takeLate(queue)) {
      try {
        const keys = batch.map(({ run }) => run.queueKey ?? '');
        const slots = await reserveQueueSlots(this.database, queue, keys);
        for (const [index, held] of batch.entries()) this.beginAt(held, slots[index] ?? this.clock.now());
      } catch (error) {
        // While another process has locked the row of the queue, nothing is wrong.
        if (faultOf(error) !== 'locked') this.failed(error);
        for (const held of batch) held.retry = setTimeout(() => this.beginAt(held, 0), RETRY_MS).unref();
      }
    }
    this.late.delete(queue);
  }

  /** Takes late runs, without those that are not held any more. */
  private takeLate(queue: string): Held[] {
    const batch = this.late.get(queue)!.splice(0, MOST_SLOTS);
    const held = batch.filter((each) => this.held.get(each.run.id) === each);
    return held.length > 0 || batch.length === 0 ? held : this.takeLate(queue);
  }

  private forget(held: Held): void {
    held.alarm?.cancel();
    clearTimeout(held.retry);
    this.held.delete(held.run.id);
    for (const opened of this.opened.get(held.run.id) ?? []) opened();
    this.opened.delete(held.run.id);
  }
}
