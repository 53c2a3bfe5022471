import { checkPolicies, checkTiming, POLICY_KEYS, refuseEnded, TIMING_KEYS } from '../../core/schedules/check-timing.js';
import { DueTimes } from '../../core/schedules/due-times.js';
import type { Policies, SchedulePolicies, ScheduleTiming, Timing } from '../../core/schedules/schedule-types.js';
import type { ScheduleRow } from '../../store/schedule-row.js';
import { describeSchedule } from './schedule-description.js';
import type { UpdateScheduleOptions } from './schedule-options.js';

/** Returns the due times of a stored schedule. */
export function timesOf(row: ScheduleRow): DueTimes {
  return new DueTimes(row, row.startAt ?? row.anchorAt);
}

/** Checked parts of a schedule from which a row is made. */
export interface NewSchedule {
  readonly name: string;
  readonly workflow: string;
  readonly timing: Timing;
  readonly policies: Policies;
  /** Input of the runs, in the stored form. */
  readonly input: string;
  readonly tags: Readonly<Record<string, string>>;
}

/** Makes the row of a schedule that is created at `now`. */
export function newScheduleRow({ name, workflow, timing, policies, input, tags }: NewSchedule, now: number): ScheduleRow {
  const at = Math.floor(now);
  const row: ScheduleRow = {
    name,
    workflow,
    ...timing,
    ...policies,
    anchorAt: at,
    input,
    tags,
    dueAt: null,
    fireAt: null,
    queuedAt: null,
    openRuns: [],
    lastDueAt: null,
    lastRunId: null,
    skipped: 0,
    failures: 0,
    lastError: null,
    pausedAt: null,
    pauseReason: null,
    resumeAt: null,
    definition: null,
    deploymentId: null,
    replacedDeployments: [],
    declaredUntil: null,
    isUndeclared: false,
    createdAt: at,
    updatedAt: at,
  };
  return { ...row, ...dueFrom(row, at) };
}

/** Returns the due time after `after`, with the time at which its runs start. */
export function dueFrom(row: ScheduleRow, after: number): Pick<ScheduleRow, 'dueAt' | 'fireAt' | 'failures' | 'lastError'> {
  const times = timesOf(row);
  const dueAt = times.next(after);
  const fireAt = dueAt === null ? null : dueAt + times.jitterOf(row.name, dueAt);
  return { dueAt, fireAt: row.pausedAt === null ? fireAt : row.resumeAt, failures: 0, lastError: null };
}

/** Pauses a schedule. A due time whose run waits for other runs is dropped. */
export function paused(row: ScheduleRow, now: number, until: number | null, reason: string | null): ScheduleRow {
  return { ...row, pausedAt: row.pausedAt ?? now, pauseReason: reason, resumeAt: until, fireAt: until, queuedAt: null, updatedAt: now };
}

/**
 * Ends a pause at `at`. Due times before that moment are dropped. Later ones count, also when they
 * have passed in the meantime.
 */
export function resumed(row: ScheduleRow, at: number): ScheduleRow {
  const open: ScheduleRow = { ...row, pausedAt: null, pauseReason: null, resumeAt: null };
  if (row.dueAt === null || row.dueAt < at) return { ...open, ...dueFrom(open, at - 1) };
  return { ...open, fireAt: row.dueAt + timesOf(row).jitterOf(row.name, row.dueAt) };
}

/** Milliseconds before the first retry of a failed try to start runs. Each failure doubles them. */
const RETRY_MS = 1_000;
const MAX_RETRY_MS = 60_000;
const MAX_ERROR_LENGTH = 1_000;

/** Records a failed try to start the runs of a schedule, which is repeated after a pause. */
export function failedToFire(row: ScheduleRow, now: number, message: string): ScheduleRow {
  const failures = Math.min(row.failures + 1, 1_000);
  const pauseMs = Math.min(RETRY_MS * 2 ** Math.min(failures - 1, 20), MAX_RETRY_MS);
  return { ...row, failures, lastError: message.slice(0, MAX_ERROR_LENGTH), fireAt: now + pauseMs };
}

/**
 * Returns a schedule with other times and rules. New times count from `now`.
 *
 * @throws InvalidInputError
 */
export function updated(row: ScheduleRow, given: UpdateScheduleOptions, now: number): ScheduleRow {
  const { overlap, catchUp } = describeSchedule(row);
  const changesPolicies = POLICY_KEYS.some((key) => key in given);
  const policies = changesPolicies ? checkPolicies(withoutMissing({ overlap, catchUp }, given), 'options') : {};
  const changed: ScheduleRow = { ...row, ...policies };
  if (!TIMING_KEYS.some((key) => key in given)) return changed;
  const timing = checkTiming(mergeTiming(row, given), 'options', now);
  refuseEnded(timing, 'options', now);
  return retimed(changed, timing, now);
}

/** Returns a schedule with the given times, which count from `now` unless they are the same. */
export function retimed(row: ScheduleRow, timing: Timing, now: number): ScheduleRow {
  const { cron, everyMs, timezone, startAt, endAt, jitterMs } = timing;
  const times: Timing = { cron, everyMs, timezone, startAt, endAt, jitterMs };
  if ((Object.keys(times) as (keyof Timing)[]).every((key) => times[key] === row[key])) return row;
  const isSamePeriod = everyMs === row.everyMs && startAt === row.startAt;
  const changed: ScheduleRow = { ...row, ...times, anchorAt: isSamePeriod ? row.anchorAt : now, queuedAt: null };
  return { ...changed, ...dueFrom(changed, now) };
}

function withoutMissing(stored: SchedulePolicies, given: SchedulePolicies): SchedulePolicies {
  return { ...stored, ...(given.overlap ? { overlap: given.overlap } : {}), ...(given.catchUp ? { catchUp: given.catchUp } : {}) };
}

/**
 * Merges the times of a schedule with changes. A period replaces a cron expression, and vice versa.
 */
function mergeTiming(row: ScheduleRow, given: UpdateScheduleOptions): ScheduleTiming {
  const { cron, every, timezone, startAt, endAt, jitter } = given;
  const isCron = cron !== undefined || (every === undefined && row.cron !== null);
  const dates = { startAt: merged(startAt, row.startAt), endAt: merged(endAt, row.endAt) };
  return {
    ...(cron === undefined && every === undefined ? (row.cron === null ? { every: row.everyMs! } : { cron: row.cron }) : {}),
    ...(cron === undefined ? {} : { cron }),
    ...(every === undefined ? {} : { every }),
    ...(timezone === undefined ? (isCron && row.cron !== null ? { timezone: row.timezone } : {}) : { timezone }),
    ...(dates.startAt ? { startAt: dates.startAt } : {}),
    ...(dates.endAt ? { endAt: dates.endAt } : {}),
    jitter: jitter ?? row.jitterMs,
  };
}

function merged(given: Date | null | undefined, stored: number | null): Date | undefined {
  if (given === null) return undefined;
  return given ?? (stored === null ? undefined : new Date(stored));
}
