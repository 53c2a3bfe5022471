import type { Duration } from '../duration.js';

/**
 * Action when a due time arrives while a run of the schedule has not ended: `'skip'` starts no run,
 * `'queue'` starts one run once the other runs have ended, `'allow'` starts a run beside the
 * others, and `'cancelPrevious'` cancels the other runs.
 */
export type ScheduleOverlap = 'skip' | 'queue' | 'allow' | 'cancelPrevious';

/**
 * Action for due times that passed while no process could start runs: `'none'` starts no run,
 * `'last'` starts one run for the last of these due times, and `'all'` starts a run for each of
 * them, at most the last 100. `{ all: 500 }` sets another bound, from 1 to 1,000.
 */
export type ScheduleCatchUp = 'none' | 'last' | 'all' | { all: number };

/** Times at which a schedule is due. Give either `cron` or `every`. */
export interface ScheduleTiming {
  /**
   * Cron expression with five fields, or six with seconds first, or a nickname such as `'@daily'`.
   * docs/schedules.md describes the fields. (default: none)
   */
  cron?: string;
  /**
   * Period between two due times, from one second: milliseconds, or a duration such as `'15m'`. The
   * period is exact, and ignores changes of the clock. (default: none)
   */
  every?: Duration;
  /** Time zone of `cron`, such as `'Europe/Berlin'`. (default: `'UTC'`) */
  timezone?: string;
  /**
   * First moment at which the schedule may be due. With `every`, the first due time and the origin
   * of all others. (default: the creation; with `every`, the first due time is one period later)
   */
  startAt?: Date;
  /** Moment from which on the schedule is no longer due. (default: none) */
  endAt?: Date;
  /**
   * Longest time by which runs start after their due time, up to a day: milliseconds, or a duration
   * such as `'30s'`. Each due time has a delay of its own below this value, which spreads schedules
   * that are due at the same moment. (default: 0)
   */
  jitter?: Duration;
}

/** Rules for runs that meet other runs of their schedule, or an outage. */
export interface SchedulePolicies {
  /** Action when a run of the schedule has not ended. (default: `'skip'`) */
  overlap?: ScheduleOverlap;
  /** Action for due times that were missed by more than a minute. (default: `'last'`) */
  catchUp?: ScheduleCatchUp;
}

/** Checked times of a schedule, in milliseconds since the epoch. */
export interface Timing {
  /** Cron expression; null when `everyMs` is set. */
  readonly cron: string | null;
  readonly everyMs: number | null;
  readonly timezone: string;
  readonly startAt: number | null;
  readonly endAt: number | null;
  readonly jitterMs: number;
}

/** Checked rules of a schedule. */
export interface Policies {
  readonly overlap: ScheduleOverlap;
  /** Largest number of missed due times for which runs start. */
  readonly catchUpLimit: number;
  readonly catchUp: 'none' | 'last' | 'all';
}

/** Schedule and due time of a run that a schedule has started. */
export interface ScheduledFor {
  /** Name of the schedule. */
  readonly name: string;
  /** Due time, in milliseconds since the epoch. */
  readonly dueAt: number;
}

/** Schedule that started a run, and the due time that the run stands for. */
export interface RunSchedule {
  /** Name of the schedule. */
  readonly name: string;
  /**
   * Time at which the run was due. A run that starts late, or that fills a gap, has the due time
   * that it stands for.
   */
  readonly dueAt: Date;
}
