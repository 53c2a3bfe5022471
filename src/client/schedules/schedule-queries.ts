import { checkOptions } from '../../core/check-options.js';
import { toTimestamp } from '../../core/duration.js';
import { ScheduleNotFoundError } from '../../core/errors/index.js';
import { checkText } from '../../core/ids.js';
import { checkTiming, TIMING_KEYS } from '../../core/schedules/check-timing.js';
import { DueTimes } from '../../core/schedules/due-times.js';
import type { ScheduleTiming } from '../../core/schedules/schedule-types.js';
import { listSchedules, readSchedule, readScheduleRuns } from '../../store/sql/schedules.js';
import type { ClientDependencies } from '../dependencies.js';
import { checkLimit } from '../queries/cursor.js';
import { describeSchedule, type ScheduleDescription, type ScheduleDetails } from './schedule-description.js';
import { checkScheduleName, type GetScheduleOptions, type ListSchedulesOptions, type PreviewOptions } from './schedule-options.js';

const MAX_PREVIEW = 1_000;
const MAX_LISTED = 1_000;
const MAX_SHOWN_RUNS = 100;

/** Queries about schedules. */
export class ScheduleQueries {
  readonly #dependencies: Pick<ClientDependencies, 'database' | 'now'>;

  /** @internal */
  constructor(dependencies: Pick<ClientDependencies, 'database' | 'now'>) {
    this.#dependencies = dependencies;
  }

  /**
   * Returns schedules in the order of their names.
   *
   * @throws InvalidInputError, QueryTimeoutError
   * @example const page = await client.schedules.list({ workflow: 'report', limit: 100 });
   */
  async list(options: ListSchedulesOptions = {}): Promise<ScheduleDescription[]> {
    const { workflow, after, limit } = checkOptions(options, 'options', ['workflow', 'after', 'limit']);
    const rows = await listSchedules(this.#dependencies.database, {
      workflow: workflow === undefined ? null : checkText(workflow, 'options.workflow'),
      after: after === undefined ? null : checkText(after, 'options.after'),
      limit: checkLimit(limit, 'options.limit', 100, MAX_LISTED),
    });
    return rows.map(describeSchedule);
  }

  /**
   * Returns a schedule with its next due time and its last runs.
   *
   * @throws InvalidInputError, ScheduleNotFoundError, QueryTimeoutError
   */
  async get(name: string, options: GetScheduleOptions = {}): Promise<ScheduleDetails> {
    const checked = checkScheduleName(name);
    const { runs } = checkOptions(options, 'options', ['runs']);
    const shown = runs === 0 ? 0 : checkLimit(runs, 'options.runs', 10, MAX_SHOWN_RUNS);
    const { database } = this.#dependencies;
    const row = await readSchedule(database, checked);
    if (!row) throw new ScheduleNotFoundError(checked);
    const found = shown === 0 ? [] : await readScheduleRuns(database, checked, shown);
    const list = found.map(({ runId, status, dueAt }) => ({ runId, status, dueAt: new Date(dueAt) }));
    return { ...describeSchedule(row), runs: list };
  }

  /**
   * Computes the due times of a schedule that need not exist. Sends no query.
   *
   * @param timing the times, as for `create`
   * @param options.count number of due times, from 1 to 1,000 (default: 10)
   * @param options.from moment from which on due times are returned, inclusive (default: now)
   * @returns the due times, without jitter; fewer than `count` when the schedule ends
   * @throws InvalidInputError when a value is invalid
   * @example
   * const berlin = { cron: '0 8 * * 1-5', timezone: 'Europe/Berlin' };
   * const [next] = client.schedules.preview(berlin, { count: 1 });
   */
  preview(timing: ScheduleTiming, options: PreviewOptions = {}): Date[] {
    const given = checkOptions(timing, 'timing', TIMING_KEYS);
    const { count, from } = checkOptions(options, 'options', ['count', 'from']);
    const wanted = checkLimit(count, 'options.count', 10, MAX_PREVIEW);
    const now = Math.floor(this.#dependencies.now());
    const begin = from === undefined ? now : toTimestamp(from, 'options.from');
    const checked = checkTiming(given, 'timing', Math.min(now, begin));
    const times = new DueTimes(checked, checked.startAt ?? begin);
    const found: Date[] = [];
    for (let due = times.next(begin - 1); due !== null && found.length < wanted; due = times.next(due)) found.push(new Date(due));
    return found;
  }
}
