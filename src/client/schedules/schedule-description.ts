import { toDate } from '../../core/duration.js';
import type { ScheduleCatchUp, ScheduleOverlap } from '../../core/schedules/schedule-types.js';
import type { ShownStatus } from '../../core/run.js';
import type { ScheduleRow } from '../../store/schedule-row.js';

/** A schedule, as `client.schedules.list` shows it. */
export interface ScheduleDescription {
  /** Name of the schedule. */
  name: string;
  /** Name of the workflow of the runs. */
  workflow: string;
  /**
   * `'active'`; `'paused'` by a client, or because no process declares the schedule; `'ended'` when
   * the schedule is never due again.
   */
  state: 'active' | 'paused' | 'ended';
  /** True for a schedule that comes from `@Schedule`. */
  declared: boolean;
  /** Cron expression; undefined for a schedule with a period. */
  cron: string | undefined;
  /** Period in milliseconds; undefined for a schedule with a cron expression. */
  everyMs: number | undefined;
  /** Time zone of the cron expression. */
  timezone: string;
  /** First moment at which the schedule may be due. */
  startAt: Date | undefined;
  /** Moment from which on the schedule is no longer due. */
  endAt: Date | undefined;
  /** Longest delay of a run after its due time, in milliseconds. */
  jitterMs: number;
  /** Action when a run has not ended at the next due time. */
  overlap: ScheduleOverlap;
  /** Action for due times that were missed. */
  catchUp: ScheduleCatchUp;
  /** Tags of the runs. */
  tags: Record<string, string>;
  /** Next due time. Undefined while the schedule is paused without an end, and after its end. */
  next: Date | undefined;
  /** Due time of the last run. */
  last: Date | undefined;
  /** Id of the last run. */
  lastRunId: string | undefined;
  /** Due time whose run waits for the end of other runs. */
  queued: Date | undefined;
  /** Number of due times that started no run because another run had not ended. */
  skipped: number;
  /** Time since which the schedule is paused. */
  pausedAt: Date | undefined;
  /** Moment at which the schedule resumes by itself. */
  pausedUntil: Date | undefined;
  /** Reason of the pause. */
  pauseReason: string | undefined;
  /** Message of the last failed try to start a run; undefined once a try has succeeded. */
  lastError: string | undefined;
  /** Time at which the schedule was created. */
  createdAt: Date;
  /** Time of the last change by a client or by a deployment. */
  updatedAt: Date;
}

/** A run that a schedule has started. */
export interface ScheduleRun {
  /** Id of the run. */
  runId: string;
  /** Status of the run. */
  status: ShownStatus;
  /** Due time of the run. */
  dueAt: Date;
}

/** A schedule with its last runs, as `client.schedules.get` shows it. */
export interface ScheduleDetails extends ScheduleDescription {
  /** Last runs, newest first. */
  runs: ScheduleRun[];
}

/** Converts a row to its description. */
export function describeSchedule(row: ScheduleRow): ScheduleDescription {
  const isPaused = row.pausedAt !== null;
  const isForGood = isPaused && row.resumeAt === null;
  return {
    name: row.name,
    workflow: row.workflow,
    state: isPaused ? 'paused' : row.dueAt === null && row.queuedAt === null ? 'ended' : 'active',
    declared: row.definition !== null,
    cron: row.cron ?? undefined,
    everyMs: row.everyMs ?? undefined,
    timezone: row.timezone,
    startAt: toDate(row.startAt),
    endAt: toDate(row.endAt),
    jitterMs: row.jitterMs,
    overlap: row.overlap,
    catchUp: row.catchUp === 'all' ? { all: row.catchUpLimit } : row.catchUp,
    tags: { ...row.tags },
    next: isForGood ? undefined : toDate(row.dueAt),
    last: toDate(row.lastDueAt),
    lastRunId: row.lastRunId ?? undefined,
    queued: toDate(row.queuedAt),
    skipped: row.skipped,
    pausedAt: toDate(row.pausedAt),
    pausedUntil: toDate(row.resumeAt),
    pauseReason: row.pauseReason ?? undefined,
    lastError: row.lastError ?? undefined,
    createdAt: new Date(row.createdAt),
    updatedAt: new Date(row.updatedAt),
  };
}
