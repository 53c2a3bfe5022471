import type { FiringFailed, ScheduleFiring } from '../client/schedules/schedule-firing.js';
import type { ScheduleDeclarations } from '../client/schedules/schedule-declarations.js';
import type { DatabaseClock } from '../core/clock.js';
import type { ServedSchedules } from '../store/sql/schedules.js';
import { BackgroundService } from './background-service.js';

/** Largest number of schedules whose runs start in one transaction. */
const MAX_BATCH = 500;

/** Minimum number of milliseconds to the next query. */
const MIN_PAUSE_MS = 2;

/**
 * Maximum number of milliseconds between queries while other processes have locked due schedules.
 * The pause doubles up to this value.
 */
const LOCKED_PAUSE_MS = 250;

/**
 * Milliseconds for which announcements of past times are ignored after a pass that found nothing.
 * Such schedules belong to other processes.
 */
const NOTHING_DUE_MS = 1_000;

/** Maximum number of milliseconds of a timer. Node cannot wait for longer than 24 days. */
const MAX_PAUSE_MS = 3_600_000;

/** Parts of a process that work on schedules. */
export interface ScheduleWork {
  readonly firing: ScheduleFiring;
  readonly declarations: ScheduleDeclarations;
  readonly served: ServedSchedules;
  /** Called with a schedule whose runs could not be started. */
  readonly failedToFire: FiringFailed;
}

/** Starts the runs of all due schedules, and pauses schedules that no process declares any more. */
export async function workOnSchedules(
  { firing, declarations, served, failedToFire }: ScheduleWork,
  goesOn: () => boolean,
): Promise<number> {
  let total = 0;
  for (let due = MAX_BATCH; due === MAX_BATCH && goesOn();) {
    due = await firing.fireDue(served, MAX_BATCH, failedToFire);
    total += due;
  }
  await declarations.pauseUndeclared();
  return total;
}

/**
 * Starts the runs of schedules when they are due. The timer service tells the next due time, so a
 * process sends no statement and has no timer for schedules while there are none.
 */
export class ScheduleService extends BackgroundService {
  private next = Number.POSITIVE_INFINITY;
  private minPauseMs = MIN_PAUSE_MS;
  private ignoredUntil = Number.NEGATIVE_INFINITY;
  private state: 'new' | 'started' | 'stopped' = 'new';

  constructor(
    private readonly schedules: ScheduleWork,
    private readonly clock: DatabaseClock,
    private readonly failed: (error: unknown) => void,
  ) {
    super();
  }

  override async stop(): Promise<void> {
    this.state = 'stopped';
    await super.stop();
  }

  /**
   * Announces a time at which a schedule needs attention, in milliseconds since the epoch by the
   * database's clock. The first announcement starts the service.
   */
  note(at: number): void {
    if (this.state === 'stopped') return;
    this.next = Math.min(this.next, Math.max(at, this.ignoredUntil));
    if (this.state === 'new') {
      this.state = 'started';
      this.start();
    }
    this.schedule(this.pauseMs());
  }

  /** Looks for due schedules at once, although an announcement would be ignored now. */
  refresh(): void {
    this.ignoredUntil = Number.NEGATIVE_INFINITY;
    this.note(Number.NEGATIVE_INFINITY);
  }

  /** True while the service starts runs. */
  get isAtWork(): boolean {
    return this.isWorking;
  }

  protected async work(): Promise<number> {
    let total = 0;
    try {
      this.next = Number.POSITIVE_INFINITY;
      total = await workOnSchedules(this.schedules, () => this.isRunning);
      const next = await this.schedules.firing.nextTime(this.schedules.served);
      if (next !== undefined) this.next = Math.min(this.next, next);
    } catch (error) {
      this.next = Math.min(this.next, this.clock.now() + NOTHING_DUE_MS);
      this.failed(error);
    }
    const now = this.clock.now();
    const isStuck = total === 0 && this.next <= now;
    this.minPauseMs = isStuck ? Math.min(this.minPauseMs * 2, LOCKED_PAUSE_MS) : MIN_PAUSE_MS;
    this.ignoredUntil = total === 0 ? now + NOTHING_DUE_MS : Number.NEGATIVE_INFINITY;
    return this.pauseMs();
  }

  protected override latestPauseMs(): number {
    return this.pauseMs();
  }

  private pauseMs(): number {
    return Math.max(this.minPauseMs, Math.min(Math.ceil(this.next - this.clock.now()), MAX_PAUSE_MS));
  }
}
