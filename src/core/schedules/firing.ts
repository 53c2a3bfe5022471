import type { DueTimes } from './due-times.js';
import type { Policies } from './schedule-types.js';

/**
 * Milliseconds after which a due time counts as missed. Due times that are less late are executed
 * under every rule: no process is ever exactly in time.
 */
export const MISSED_AFTER_MS = 60_000;

/** State of a schedule that is due. Times are milliseconds since the epoch. */
export interface DueSchedule extends Policies {
  readonly name: string;
  /** The due time that has not been executed yet; null when only a queued run is due. */
  readonly dueAt: number | null;
  /** Due time whose run waits for the end of other runs. */
  readonly queuedAt: number | null;
  /** Largest delay of a run after its due time. */
  readonly jitterMs: number;
  /** Number of failed tries to start the runs of `dueAt`. */
  readonly failures: number;
  /** Ids of the schedule's runs that have not ended. */
  readonly activeRuns: readonly string[];
}

/** Runs to start for a schedule, and its next state. */
export interface Firing {
  /** Due times for which runs start, oldest first. */
  readonly starts: readonly number[];
  /** Ids of runs to cancel. */
  readonly cancels: readonly string[];
  /** Number of due times that start no run because of other runs. */
  readonly skipped: number;
  readonly queuedAt: number | null;
  /** The next due time; null when the schedule is never due again. */
  readonly dueAt: number | null;
  /** Time at which the runs of `dueAt` start; null without `dueAt`. */
  readonly fireAt: number | null;
}

/** Splits the due times up to now into those that were missed and those that are in time. */
function collect(schedule: DueSchedule, times: DueTimes, now: number): { missed: number[]; inTime: number[]; next: number | null } {
  const { name, dueAt, jitterMs, failures, catchUpLimit } = schedule;
  const missed: number[] = [];
  const inTime: number[] = [];
  let next = dueAt;
  if (next !== null && failures > 0 && next <= now) {
    // The earlier tries were in time, so the due time is not lost under any rule.
    inTime.push(next);
    next = times.next(next);
  }
  const missedBefore = now - MISSED_AFTER_MS - jitterMs;
  if (next !== null && next < missedBefore) {
    // The stored due time counts, also when today's time zone data would no longer contain it.
    if (catchUpLimit > 0) missed.push(...times.previous(catchUpLimit, next, missedBefore));
    if (catchUpLimit > missed.length && missed[0] !== next) missed.unshift(next);
    next = times.next(missedBefore - 1);
  }
  while (next !== null && next + times.jitterOf(name, next) <= now) {
    inTime.push(next);
    next = times.next(next);
  }
  return { missed, inTime, next };
}

/**
 * Decides which runs a due schedule starts now, and when the schedule is due next. Writes nothing,
 * so that the decision and its rules can be tested without a database.
 */
export function decideFiring(schedule: DueSchedule, times: DueTimes, now: number): Firing {
  const { name, overlap, catchUp, activeRuns } = schedule;
  const { missed, inTime, next } = collect(schedule, times, now);
  let { queuedAt } = schedule;
  let isActive = activeRuns.length > 0;
  let skipped = 0;
  const starts: number[] = [];
  const start = (due: number): void => {
    starts.push(due);
    isActive = true;
  };
  if (queuedAt !== null && !isActive) {
    start(queuedAt);
    queuedAt = null;
  }
  // Runs that catch up with all missed due times start together. With the rules for overlaps, at
  // most one of them would start.
  if (catchUp === 'all') missed.forEach(start);
  const ordinary = catchUp === 'all' ? inTime : [...missed, ...inTime];
  for (const [index, due] of ordinary.entries()) {
    if (overlap === 'allow' || (overlap !== 'cancelPrevious' && !isActive)) start(due);
    else if (overlap === 'cancelPrevious' && index === ordinary.length - 1) start(due);
    else if (overlap === 'queue' && queuedAt === null) queuedAt = due;
    else skipped++;
  }
  const cancels = overlap === 'cancelPrevious' && ordinary.length > 0 ? activeRuns : [];
  return { starts, cancels, skipped, queuedAt, dueAt: next, fireAt: next === null ? null : next + times.jitterOf(name, next) };
}
