import ms from 'ms';

import { InvalidInputError } from './errors/input-errors.js';

type Unit =
  | 'ms'
  | 'msec'
  | 'msecs'
  | 'millisecond'
  | 'milliseconds'
  | 's'
  | 'sec'
  | 'secs'
  | 'second'
  | 'seconds'
  | 'm'
  | 'min'
  | 'mins'
  | 'minute'
  | 'minutes'
  | 'h'
  | 'hr'
  | 'hrs'
  | 'hour'
  | 'hours'
  | 'd'
  | 'day'
  | 'days'
  | 'w'
  | 'week'
  | 'weeks'
  | 'y'
  | 'yr'
  | 'yrs'
  | 'year'
  | 'years';

/**
 * A span of time: milliseconds, or text such as `'250ms'`, `'30s'`, `'5 minutes'` or `'2 days'`.
 * `m` means minutes, and months are not a unit. Use `parseDuration` for text that is known only at
 * run time.
 */
export type Duration = number | `${number}${Unit}` | `${number} ${Unit}`;

/**
 * Longest duration in milliseconds: a hundred years of 365.25 days each, the same as `'100y'`. A
 * longer duration is most likely a mistake, and could exceed the range of PostgreSQL's timestamps.
 */
export const MAX_DURATION_MS = 100 * 365.25 * 24 * 3_600_000;

/**
 * A duration in the module's options. The value often comes from an environment variable, so the
 * type allows any text. The text is checked at boot.
 */
export type ConfiguredDuration = Duration | (string & {});

/**
 * Parses a duration that comes from a configuration or an environment variable.
 *
 * @param text a duration such as `'30s'` or `'2 days'`, or a number of milliseconds as text
 * @param name the name of the value in the error (default: `duration`)
 * @returns milliseconds
 * @throws InvalidInputError when the text is not a duration from 0 to a hundred years
 * @example
 * const pause = parseDuration(config.getOrThrow('REMINDER_AFTER'), 'REMINDER_AFTER');
 */
export function parseDuration(text: string, name = 'duration'): number {
  return toMilliseconds(text, name);
}

/** Shortest value that a duration may have. */
export interface ShortestDuration {
  readonly ms: number;
  /** The value in words for errors, such as `1 minute`. */
  readonly inWords: string;
}

/**
 * Converts a duration to milliseconds.
 *
 * @param argument the name of the duration in errors
 * @param shortest the shortest accepted duration (default: 0)
 * @throws InvalidInputError when the value is not a duration, not finite, shorter than `shortest`,
 *   or longer than a hundred years
 */
export function toMilliseconds(
  duration: ConfiguredDuration,
  argument: string,
  shortest: ShortestDuration = { ms: 0, inWords: '0' },
): number {
  const value = typeof duration === 'string' ? parse(duration) : duration;
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw new InvalidInputError(argument, `must be a duration such as '30s', '2 days' or milliseconds, not ${show(duration)}`);
  }
  if (value < shortest.ms || value > MAX_DURATION_MS)
    throw new InvalidInputError(argument, `must be from ${shortest.inWords} to a hundred years, not ${show(duration)}`);
  // Adding 0 turns -0 into 0.
  return Math.round(value) + 0;
}

function parse(text: string): number | undefined {
  if (text.length === 0 || text.length > 100) return undefined;
  return ms(text as ms.StringValue);
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 100));
  return typeof value === 'number' ? String(value) : typeof value;
}

/**
 * Converts a caller's Date to milliseconds since the epoch.
 *
 * @throws InvalidInputError when the value is not a valid Date, or more than a hundred years ahead
 */
export function toTimestamp(date: Date, argument: string): number {
  const value = date instanceof Date ? date.getTime() : Number.NaN;
  if (!Number.isFinite(value)) throw new InvalidInputError(argument, 'must be a valid Date');
  if (value - Date.now() > MAX_DURATION_MS) throw new InvalidInputError(argument, 'must be within a hundred years from now');
  // PostgreSQL cannot store the earliest dates of JavaScript. A date before 1970 becomes 1970,
  // which has the same effect, because both are in the past.
  return Math.max(value, 0);
}

/** Converts milliseconds since the epoch to a Date; null becomes undefined. */
export function toDate(ms: number | null): Date | undefined {
  return ms === null ? undefined : new Date(ms);
}
