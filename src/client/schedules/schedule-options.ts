import { checkOptions } from '../../core/check-options.js';
import { InvalidInputError } from '../../core/errors/index.js';
import { checkText } from '../../core/ids.js';
import type { SchedulePolicies, ScheduleTiming } from '../../core/schedules/schedule-types.js';
import { POLICY_KEYS, TIMING_KEYS } from '../../core/schedules/check-timing.js';
import type { InputOf, IsNothing, Startable } from '../../core/workflow-types.js';
import type { ManagerOption } from '../transactions/manager-option.js';

/** Input of the runs of a schedule. It may be omitted when the workflow needs no input. */
export type ScheduleInput<I> = IsNothing<I> extends true ? { input?: undefined } : undefined extends I ? { input?: I } : { input: I };

/** Options of `client.schedules.create`. */
export type CreateScheduleOptions<W extends Startable = Startable> = ScheduleTiming &
  SchedulePolicies &
  ScheduleInput<InputOf<W>> & {
    /** Workflow of the runs: a class, a reference made by `workflowRef`, or a name. */
    workflow: W;
    /** Tags of the runs. (default: none) */
    tags?: Record<string, string>;
    /**
     * Transaction to join: the schedule exists when this transaction commits. `'none'` joins no
     * transaction. (default: the transaction that the module's `currentTransaction` returns, if
     * any)
     */
    manager?: ManagerOption;
  };

/** Options of `client.schedules.update`. An option that is missing keeps its value. */
export interface UpdateScheduleOptions extends Omit<ScheduleTiming, 'startAt' | 'endAt'>, SchedulePolicies {
  /** Input of the runs. */
  input?: unknown;
  /** Tags of the runs; they replace the earlier ones. */
  tags?: Record<string, string>;
  /** First moment at which the schedule may be due; null for none. */
  startAt?: Date | null;
  /** Moment from which on the schedule is no longer due; null for none. */
  endAt?: Date | null;
}

/** Options of `client.schedules.pause`. */
export interface PauseScheduleOptions {
  /** Moment at which the schedule resumes by itself. (default: never) */
  until?: Date;
  /** Reason, which `get` and `list` show. (default: none) */
  reason?: string;
}

/** Options of `client.schedules.trigger`. */
export interface TriggerScheduleOptions {
  /** Input of this run. (default: the input of the schedule) */
  input?: unknown;
}

/** Options of `client.schedules.backfill`. */
export interface BackfillOptions {
  /** Beginning of the period, inclusive. */
  from: Date;
  /** End of the period, exclusive and not in the future. (default: now) */
  to?: Date;
}

/** Options of `client.schedules.preview`. */
export interface PreviewOptions {
  /** Number of due times, from 1 to 1,000. (default: 10) */
  count?: number;
  /** Moment from which on due times are returned, inclusive. (default: now) */
  from?: Date;
}

/** Options of `client.schedules.list`. */
export interface ListSchedulesOptions {
  /** Name of the workflow of the schedules. (default: all workflows) */
  workflow?: string;
  /** Name of the last schedule of the page before. (default: the first page) */
  after?: string;
  /** Maximum number of schedules, from 1 to 1,000. (default: 100) */
  limit?: number;
}

/** Options of `client.schedules.get`. */
export interface GetScheduleOptions {
  /** Maximum number of runs, from 0 to 100. (default: 10) */
  runs?: number;
}

/**
 * Longest name of a schedule. The id of a run is the name, a due time and a few characters, and an
 * id has at most 255 characters.
 */
const MAX_NAME_LENGTH = 200;

/** Keys of options that a schedule and its update share. */
const COMMON_KEYS = [...TIMING_KEYS, ...POLICY_KEYS, 'input', 'tags'];

/** Checks the name of a schedule. */
export function checkScheduleName(name: unknown, argument = 'name'): string {
  const text = checkText(name, argument);
  if (text.length > MAX_NAME_LENGTH)
    throw new InvalidInputError(argument, `must have at most ${MAX_NAME_LENGTH} characters, not ${text.length}`);
  return text;
}

/** Checks the names of the options of `create`, and returns a copy of them. */
export function checkCreateOptions(given: CreateScheduleOptions): CreateScheduleOptions & { input?: unknown } {
  return checkOptions(given, 'options', [...COMMON_KEYS, 'workflow', 'manager']);
}

/** Checks the names of the options of `update`, and returns a copy of them. */
export function checkUpdateOptions(given: UpdateScheduleOptions): UpdateScheduleOptions {
  const options = checkOptions(given, 'options', COMMON_KEYS);
  if (Object.keys(options).length === 0) throw new InvalidInputError('options', 'must have something to change');
  return options;
}
