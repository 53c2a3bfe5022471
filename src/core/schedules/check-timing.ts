import { toMilliseconds, toTimestamp } from '../duration.js';
import { InvalidInputError } from '../errors/input-errors.js';
import { DueTimes, parseCron } from './due-times.js';
import type { Policies, ScheduleCatchUp, SchedulePolicies, ScheduleTiming, Timing } from './schedule-types.js';

/** Keys of `ScheduleTiming`. */
export const TIMING_KEYS = ['cron', 'every', 'timezone', 'startAt', 'endAt', 'jitter'];
/** Keys of `SchedulePolicies`. */
export const POLICY_KEYS = ['overlap', 'catchUp'];

const OVERLAPS = ['skip', 'queue', 'allow', 'cancelPrevious'];
const DEFAULT_CATCH_UP_LIMIT = 100;
const MAX_CATCH_UP_LIMIT = 1_000;
const SHORTEST_PERIOD = { ms: 1_000, inWords: '1 second' };
const MAX_JITTER_MS = 24 * 3_600_000;
const MAX_CRON_LENGTH = 255;
const NICKNAME = /^@(yearly|annually|monthly|weekly|daily|midnight|hourly)$/i;

/**
 * Checks the times of a schedule.
 *
 * @param where the name of the options in errors
 * @param now current time, in milliseconds since the epoch
 * @throws InvalidInputError when a value is invalid, or no date fits the cron expression
 */
export function checkTiming(given: ScheduleTiming, where: string, now: number): Timing {
  const { cron, every, timezone = 'UTC', startAt, endAt, jitter } = given;
  if (cron !== undefined && every !== undefined) throw new InvalidInputError(`${where}.every`, 'cannot be given together with cron');
  if (cron === undefined && every === undefined) throw new InvalidInputError(`${where}.cron`, 'must be given, or else every');
  if (every !== undefined && given.timezone !== undefined)
    throw new InvalidInputError(`${where}.timezone`, 'has no meaning for every, whose period ignores clocks');
  const zone = checkTimezone(timezone, `${where}.timezone`);
  const timing: Timing = {
    cron: cron === undefined ? null : checkCron(cron, zone, `${where}.cron`),
    everyMs: every === undefined ? null : toMilliseconds(every, `${where}.every`, SHORTEST_PERIOD),
    timezone: zone,
    startAt: startAt === undefined ? null : toTimestamp(startAt, `${where}.startAt`),
    endAt: endAt === undefined ? null : toTimestamp(endAt, `${where}.endAt`),
    jitterMs: jitter === undefined ? 0 : checkJitter(jitter, `${where}.jitter`),
  };
  refuseImpossible(timing, where, now);
  return timing;
}

function checkJitter(jitter: NonNullable<ScheduleTiming['jitter']>, argument: string): number {
  const ms = toMilliseconds(jitter, argument);
  if (ms > MAX_JITTER_MS) throw new InvalidInputError(argument, 'must be at most a day');
  return ms;
}

/**
 * Refuses times that no date fits. The current time does not matter: code that declares a schedule
 * must not fail once the end of the schedule has passed.
 */
function refuseImpossible(timing: Timing, where: string, now: number): void {
  const { cron, startAt, endAt } = timing;
  if (startAt !== null && endAt !== null && endAt <= startAt) throw new InvalidInputError(`${where}.endAt`, 'must be after startAt');
  if (cron !== null && new DueTimes({ ...timing, startAt: null, endAt: null }, now).next(now) === null)
    throw new InvalidInputError(`${where}.cron`, `is never due: no date fits "${cron}"`);
}

/**
 * Refuses a schedule that has no due time after `now`.
 *
 * @throws InvalidInputError
 */
export function refuseEnded(timing: Timing, where: string, now: number): void {
  const { startAt, endAt } = timing;
  if (endAt !== null && endAt <= now) throw new InvalidInputError(`${where}.endAt`, 'must be in the future');
  if (new DueTimes(timing, startAt ?? now).next(now) === null)
    throw new InvalidInputError(`${where}.endAt`, 'is before the first time at which the schedule would be due');
}

function checkTimezone(timezone: unknown, argument: string): string {
  if (typeof timezone !== 'string' || timezone === '') throw new InvalidInputError(argument, "must be a time zone such as 'Europe/Berlin'");
  try {
    // Node refuses offsets such as +02:00 up to version 20, and later versions accept them. A
    // schedule must mean the same in every process.
    if (/^[+-]/.test(timezone) || timezone.length > MAX_CRON_LENGTH) throw new RangeError(timezone);
    // The constructor refuses zones that do not exist.
    void new Intl.DateTimeFormat('en', { timeZone: timezone });
    return timezone;
  } catch {
    throw new InvalidInputError(
      argument,
      `must be a time zone such as 'Europe/Berlin': there is no zone ${JSON.stringify(timezone.slice(0, 100))}`,
    );
  }
}

/**
 * Checks a cron expression. The number of fields is checked here, because the library also accepts
 * dates and a seventh field.
 */
function checkCron(cron: unknown, timezone: string, argument: string): string {
  if (typeof cron !== 'string') throw new InvalidInputError(argument, `must be a string, not ${cron === null ? 'null' : typeof cron}`);
  const expression = cron.trim().split(/\s+/).join(' ');
  const shown = JSON.stringify(expression.slice(0, 100));
  if (expression.length > MAX_CRON_LENGTH) throw new InvalidInputError(argument, `must have at most ${MAX_CRON_LENGTH} characters`);
  if (!NICKNAME.test(expression)) {
    const fields = expression === '' ? 0 : expression.split(' ').length;
    if (fields !== 5 && fields !== 6)
      throw new InvalidInputError(argument, `must have five fields, or six with seconds first, not ${fields}: ${shown}`);
  }
  try {
    parseCron(expression, timezone);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.replace(/^\w+: /, '') : 'it cannot be read';
    throw new InvalidInputError(argument, `is not a cron expression (${shown}): ${reason}`, { cause });
  }
  return expression;
}

/**
 * Checks the rules of a schedule.
 *
 * @throws InvalidInputError
 */
export function checkPolicies({ overlap = 'skip', catchUp = 'last' }: SchedulePolicies, where: string): Policies {
  if (!OVERLAPS.includes(overlap)) throw new InvalidInputError(`${where}.overlap`, `must be one of ${OVERLAPS.join(', ')}`);
  return { overlap, ...checkCatchUp(catchUp, `${where}.catchUp`) };
}

function checkCatchUp(catchUp: ScheduleCatchUp, argument: string): Omit<Policies, 'overlap'> {
  if (catchUp === 'none') return { catchUp, catchUpLimit: 0 };
  if (catchUp === 'last') return { catchUp, catchUpLimit: 1 };
  const limit: unknown = catchUp === 'all' ? DEFAULT_CATCH_UP_LIMIT : (catchUp as { all?: unknown } | null)?.all;
  if (limit === undefined) throw new InvalidInputError(argument, "must be 'none', 'last', 'all' or { all: limit }");
  if (!Number.isInteger(limit) || (limit as number) < 1 || (limit as number) > MAX_CATCH_UP_LIMIT)
    throw new InvalidInputError(`${argument}.all`, 'must be a whole number from 1 to 1,000');
  return { catchUp: 'all', catchUpLimit: limit as number };
}
