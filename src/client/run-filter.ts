import { checkOptions, isPlainObject, keysOf } from '../core/check-options.js';
import { toTimestamp } from '../core/duration.js';
import { InvalidInputError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import { RUN_STATUSES, type RunStatus } from '../core/run.js';
import type { RunConditions } from '../core/run-filter.js';

/** Which runs. What is absent does not restrict; a run must meet everything that is there, and of a list any member. */
export interface RunFilter {
  /** Of the workflow. */
  name?: string | readonly string[];
  /** Of the workflow; 0 are runs started by name alone that nobody has claimed yet. */
  version?: number | readonly number[];
  status?: RunStatus | readonly RunStatus[];
  queue?: string | readonly string[];
  /** All of them must match. */
  tags?: Readonly<Record<string, string>>;
  /**
   * Failed runs by the `code` of the error that the application threw, or by its name where it has none. What wraps it does not count:
   * StepFailedError, WorkflowFailedError, NonRetryableError, RetryableError.
   */
  errorCode?: string | readonly string[];
  /** Failed runs by the name of the step that they failed by: `charge`, whichever call of it failed. */
  failedStep?: string | readonly string[];
  /** Created then or later. */
  createdAfter?: Date;
  /** Created before. */
  createdBefore?: Date;
  /** Ended then or later. */
  finishedAfter?: Date;
  /** Ended before. */
  finishedBefore?: Date;
}

/** A list is for a handful of names; thousands of them are another question. */
const MAX_MEMBERS = 100;
const MAX_VERSION = 2_147_483_647;

type Check<T> = (value: unknown, argument: string) => T;

const CHECKS: { readonly [K in keyof RunConditions]-?: Check<NonNullable<RunConditions[K]>> } = {
  name: oneOrMore(checkText),
  version: oneOrMore(checkVersion),
  status: oneOrMore(checkStatus),
  queue: oneOrMore(checkText),
  tags: checkTags,
  errorCode: oneOrMore(checkText),
  failedStep: oneOrMore(checkText),
  createdAfter: checkDate,
  createdBefore: checkDate,
  finishedAfter: checkDate,
  finishedBefore: checkDate,
};

/** The keys of a filter. */
export const FILTER_KEYS = Object.keys(CHECKS) as (keyof RunFilter)[];

/**
 * Checks a filter. An `undefined` in it is refused, because what was meant to be a name would mean every run.
 *
 * @param argument how the caller names it, for the error
 * @throws InvalidInputError naming the part
 */
export function checkRunFilter(filter: unknown, argument: string): RunConditions {
  const given = checkOptions(filter as Readonly<Record<string, unknown>>, argument, FILTER_KEYS);
  const conditions: RunConditions = Object.fromEntries(
    FILTER_KEYS.filter((key) => Object.hasOwn(given, key)).map((key) => [key, checked(key, given[key], `${argument}.${key}`)]),
  );
  checkRange(conditions.createdAfter, conditions.createdBefore, `${argument}.createdBefore`, 'createdAfter');
  checkRange(conditions.finishedAfter, conditions.finishedBefore, `${argument}.finishedBefore`, 'finishedAfter');
  return conditions;
}

function checked(key: keyof RunConditions, value: unknown, argument: string): unknown {
  if (value === undefined) throw new InvalidInputError(argument, 'is undefined, which must not mean every run: leave it out');
  return CHECKS[key](value, argument);
}

/** Sorted and without doubles: the order in which a caller lists them means nothing, and a cursor must not depend on it. */
function oneOrMore<T extends string | number>(check: Check<T>): Check<readonly T[]> {
  return (value, argument) => {
    if (!Array.isArray(value)) return [check(value, argument)];
    if (value.length === 0) throw new InvalidInputError(argument, 'is an empty list, which no run meets: leave it out, or name something');
    if (value.length > MAX_MEMBERS) throw new InvalidInputError(argument, `must have at most ${MAX_MEMBERS} members, not ${value.length}`);
    const members = Array.from<unknown, T>(value, (member, index) => check(member, `${argument}[${index}]`));
    return [...new Set(members)].sort((a, b) => (a < b ? -1 : 1));
  };
}

function checkVersion(value: unknown, argument: string): number {
  if (!(Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_VERSION)) {
    throw new InvalidInputError(argument, 'must be a whole number from 0 on');
  }
  // Adding 0 turns -0 into 0.
  return (value as number) + 0;
}

function checkStatus(value: unknown, argument: string): RunStatus {
  if (!RUN_STATUSES.includes(value as RunStatus)) throw new InvalidInputError(argument, `must be one of ${RUN_STATUSES.join(', ')}`);
  return value as RunStatus;
}

function checkTags(value: unknown, argument: string): Record<string, string> {
  if (!isPlainObject(value)) throw new InvalidInputError(argument, 'must be an object of texts');
  const keys = keysOf(value, argument).sort();
  if (keys.length === 0) throw new InvalidInputError(argument, 'has no tags, which every run would meet: leave it out');
  if (keys.length > MAX_MEMBERS) throw new InvalidInputError(argument, `must have at most ${MAX_MEMBERS} tags, not ${keys.length}`);
  const pairs = keys.map((key) => {
    checkText(key, `a key of ${argument}`);
    return [key, checkTag(value, key, `${argument}[${JSON.stringify(key)}]`)];
  });
  return Object.fromEntries(pairs) as Record<string, string>;
}

/** The text of a tag; reading it may fail where it is a getter. @throws InvalidInputError */
export function checkTag(tags: Readonly<Record<string, unknown>>, key: string, argument: string): string {
  let value: unknown;
  try {
    value = tags[key];
  } catch (cause) {
    throw new InvalidInputError(argument, 'cannot be read', { cause });
  }
  return checkText(value, argument);
}

function checkDate(value: unknown, argument: string): number {
  return toTimestamp(value as Date, argument);
}

function checkRange(after: number | undefined, before: number | undefined, argument: string, other: string): void {
  if (after !== undefined && before !== undefined && before <= after) {
    throw new InvalidInputError(argument, `must be later than ${other}: no run is in between`);
  }
}
