import type { EntityManager } from 'typeorm';

import { RunAlreadyExistsError } from '../../core/errors/index.js';
import type { FiredSchedule } from '../../core/metrics/durable-metrics.js';
import { decideFiring, MISSED_AFTER_MS, type Firing } from '../../core/schedules/firing.js';
import { isOutage } from '../../store/database-errors.js';
import type { ScheduleRow } from '../../store/schedule-row.js';
import {
  limitLockWait,
  lockDueSchedules,
  lockSchedule,
  nextServedTime,
  updateSchedules,
  type LockedSchedule,
  type ServedSchedules,
} from '../../store/sql/schedules.js';
import type { Control } from '../control/control.js';
import type { ClientDependencies } from '../dependencies.js';
import type { Starter } from '../starter.js';
import type { CallerTransactions } from '../transactions/caller-transactions.js';
import { failedToFire, resumed, timesOf } from './schedule-state.js';
import { makeStart, scheduledRunId, withStarted, type ScheduledStart } from './schedule-starts.js';

const CANCEL_REASON = 'the next run of its schedule is due';

/** Called with a schedule whose runs could not be started. */
export type FiringFailed = (schedule: string, error: unknown) => void;

/** Decision about one schedule, with the runs to start. */
interface PlannedFiring {
  readonly locked: LockedSchedule;
  /** The row before the firing, without a pause that has ended. */
  readonly row: ScheduleRow;
  readonly firing: Firing;
  readonly starts: readonly ScheduledStart[];
}

/**
 * Starts the runs of due schedules. The start of the runs and the next due time of a schedule are
 * one transaction, and the row of the schedule is locked in it. So each due time starts its run
 * once, however many processes there are and whenever they die.
 *
 * @internal
 */
export class ScheduleFiring {
  constructor(
    private readonly dependencies: ClientDependencies,
    private readonly starter: Starter,
    private readonly transactions: CallerTransactions,
    private readonly control: Control,
  ) {}

  /**
   * Starts the runs of up to `limit` due schedules. When one of them fails, starts those of each
   * schedule alone, so that the failed schedule does not hold up the others.
   *
   * @returns number of schedules that were due
   */
  async fireDue(served: ServedSchedules, limit: number, failed: FiringFailed): Promise<number> {
    const names: string[] = [];
    const { database } = this.dependencies;
    try {
      const planned = await this.inTransaction(async (manager) => {
        const locked = await lockDueSchedules(database, manager, served, limit);
        names.push(...locked.map(({ row }) => row.name));
        return this.fire(manager, locked);
      });
      this.count(planned);
    } catch (error) {
      if (names.length === 0 || isOutage(error)) throw error;
      for (const name of names) await this.fireAlone(name, failed);
    }
    return names.length;
  }

  /** Returns the next time at which a served schedule is due; undefined when none is known. */
  nextTime(served: ServedSchedules): Promise<number | undefined> {
    return nextServedTime(this.dependencies.database, served);
  }

  private async fireAlone(name: string, failed: FiringFailed): Promise<void> {
    const { database } = this.dependencies;
    try {
      const planned = await this.inTransaction(async (manager) => {
        const locked = await lockSchedule(database, manager, name);
        // Another process may have done the work in the meantime.
        return locked && isDue(locked) ? this.fire(manager, [locked]) : [];
      });
      this.count(planned);
    } catch (error) {
      if (isOutage(error)) throw error;
      failed(name, error);
      await this.inTransaction(async (manager) => {
        const locked = await lockSchedule(database, manager, name);
        if (!locked || !isDue(locked)) return;
        this.dependencies.metrics.scheduleFailed(locked.row.workflow);
        await updateSchedules(database, manager, [afterFailure(locked, error)], 'fired');
      });
    }
  }

  private async fire(manager: EntityManager, locked: readonly LockedSchedule[]): Promise<PlannedFiring[]> {
    const { database } = this.dependencies;
    const planned = locked.map((each) => this.prepare(each));
    const starts = planned.flatMap((each) => each.starts);
    const joined = this.transactions.find(manager)!;
    if (starts.length > 0) {
      const [runs, options] = [starts.map(({ run }) => run), starts.map((start) => start.options)];
      await this.starter.startIn(joined, runs, options);
    }
    for (const { firing } of planned)
      for (const runId of firing.cancels) await this.control.cancel(runId, { reason: CANCEL_REASON, manager });
    const rows = planned.map(({ locked: { activeRuns }, row, firing, starts: started }) =>
      withStarted({ ...row, ...afterFiring(row, firing) }, activeRuns, started),
    );
    await updateSchedules(database, manager, rows, 'fired');
    return planned;
  }

  /** Counts the due times of committed firings. */
  private count(planned: readonly PlannedFiring[]): void {
    const now = this.dependencies.now();
    for (const each of planned) this.dependencies.metrics.scheduleFired(measured(each, now));
  }

  private prepare(locked: LockedSchedule): PlannedFiring {
    const { row, firing } = plan(locked);
    if (firing.starts.length === 0) return { locked, row, firing, starts: [] };
    const { payloads } = this.dependencies;
    const starts = firing.starts.map((dueAt) => {
      const input = payloads.decode(row.input, 'input');
      return makeStart(this.dependencies, row, scheduledRunId(row.name, dueAt), dueAt, input);
    });
    return { locked, row, firing, starts };
  }

  private inTransaction<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return this.dependencies.transaction(async (manager) => {
      await limitLockWait(manager);
      return work(manager);
    });
  }
}

/** Returns what metrics show about a firing. A queued run is not late: it has waited for others. */
function measured({ locked, row, firing: { starts, skipped } }: PlannedFiring, now: number): FiredSchedule {
  const { name, workflow, dueAt, jitterMs, failures } = locked.row;
  const times = timesOf(row);
  const inTurn = starts.filter((due) => due !== locked.row.queuedAt);
  const isMissed = dueAt !== null && failures === 0 && locked.row.pausedAt === null && dueAt < locked.now - MISSED_AFTER_MS - jitterMs;
  const delays = inTurn.map((due) => Math.max(0, now - due - times.jitterOf(name, due)) / 1_000);
  return { workflow, started: starts.length, skipped, isMissed, delays };
}

function isDue({ row, activeRuns, now }: LockedSchedule): boolean {
  const isTime = row.fireAt !== null && row.fireAt <= now;
  return isTime || (row.queuedAt !== null && row.pausedAt === null && row.failures === 0 && activeRuns.length === 0);
}

/** Decides what a schedule does now. A pause whose end has come ends first. */
function plan({ row, activeRuns, now }: LockedSchedule): { readonly row: ScheduleRow; readonly firing: Firing } {
  const open = row.pausedAt === null ? row : resumed(row, row.resumeAt ?? now);
  return { row: open, firing: decideFiring({ ...open, activeRuns }, timesOf(open), now) };
}

/**
 * Returns the row after a failed try. A run id that belongs to a run of another workflow always
 * will, so its due time is dropped. Every other try is repeated.
 */
function afterFailure(locked: LockedSchedule, error: unknown): ScheduleRow {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof RunAlreadyExistsError)) return failedToFire(locked.row, locked.now, message);
  const { row, firing } = plan(locked);
  return { ...row, ...afterFiring(row, firing), lastError: message };
}

function afterFiring(row: ScheduleRow, { dueAt, fireAt, queuedAt, skipped }: Firing): Partial<ScheduleRow> {
  return { dueAt, fireAt, queuedAt, skipped: row.skipped + skipped, failures: 0, lastError: null };
}
