import { checkOptions, isPlainObject, keysOf } from '../../core/check-options.js';
import { toTimestamp } from '../../core/duration.js';
import { InvalidInputError } from '../../core/errors/index.js';
import { checkText } from '../../core/ids.js';
import { MAX_VERSION, SHOWN_STATUSES, type ShownStatus } from '../../core/run.js';
import type { RunConditions } from '../../core/run-filter.js';

/**
 * Selects runs. A run must meet all conditions. A condition with a list is met when any member of
 * the list matches. A list has from 1 to 100 members. A property that is absent sets no condition.
 * (default: no condition for each)
 */
export interface RunFilter {
  /** Name of the workflow. */
  name?: string | readonly string[] | undefined;
  /**
   * Version of the workflow. Version 0 selects runs that were started by name and that no worker
   * has claimed yet.
   */
  version?: number | readonly number[] | undefined;
  /**
   * Status of the run. `completed` does not include runs that ended by `ctx.continueAsNew`: their
   * status is `continued`.
   */
  status?: ShownStatus | readonly ShownStatus[] | undefined;
  /** Queue of the run. */
  queue?: string | readonly string[] | undefined;
  /**
   * True selects runs that wait for a deployment whose code matches their history. False selects
   * all other runs.
   */
  blocked?: boolean | undefined;
  /** Id of the parent run. `null` selects runs that have no parent. */
  parentRunId?: string | null | undefined;
  /**
   * Name of the schedule that started the run. Forks of such a run, and runs that continue it,
   * match too.
   */
  schedule?: string | undefined;
  /** Tags of the run, from 1 to 100. A run matches when it has all of these tags. */
  tags?: Readonly<Record<string, string>> | undefined;
  /**
   * Error code of a failed run: the `code` of the error that the application threw, or the error's
   * name when it has no code. For an error inside StepFailedError, WorkflowFailedError,
   * NonRetryableError or RetryableError, the inner error counts. `null` selects failed runs whose
   * error has no code.
   */
  errorCode?: string | readonly string[] | null | undefined;
  /**
   * Name of the step that made the run fail, such as `charge`. Matches any call of this step.
   * `null` selects runs that failed outside a step.
   */
  failedStep?: string | readonly string[] | null | undefined;
  /** Selects runs created at this moment or later. */
  createdAfter?: Date | undefined;
  /** Selects runs created before this moment. */
  createdBefore?: Date | undefined;
  /** Selects runs that ended at this moment or later. */
  finishedAfter?: Date | undefined;
  /** Selects runs that ended before this moment. */
  finishedBefore?: Date | undefined;
}

/**
 * Maximum number of members of a list. Lists are meant for a few names; thousands would need
 * another kind of query.
 */
const MAX_MEMBERS = 100;

type Check<T> = (value: unknown, argument: string) => T;

const CHECKS: { readonly [K in Exclude<keyof RunConditions, 'tags'>]-?: Check<Exclude<RunConditions[K], undefined>> } = {
  name: oneOrMore(checkText),
  version: oneOrMore(checkVersion),
  status: oneOrMore(checkStatus),
  queue: oneOrMore(checkText),
  blocked: checkBoolean,
  parentRunId: orNull(checkText),
  schedule: checkText,
  errorCode: orNull(oneOrMore(checkText)),
  failedStep: orNull(oneOrMore(checkText)),
  createdAfter: checkDate,
  createdBefore: checkDate,
  finishedAfter: checkDate,
  finishedBefore: checkDate,
};

/** Keys of a filter. */
export const FILTER_KEYS = [...Object.keys(CHECKS), 'tags'] as (keyof RunFilter)[];

/** Treatment of a property that is present and has the value `undefined`. */
export type UndefinedProperty = 'left out' | 'refused';

/**
 * Checks a filter, and returns its conditions.
 *
 * @param argument name of the filter in errors
 * @param whenUndefined `'refused'` for operations that change runs: a variable that is undefined by
 *   mistake would otherwise make the filter select more runs
 * @throws InvalidInputError that names the invalid part
 */
export function checkRunFilter(filter: unknown, argument: string, whenUndefined: UndefinedProperty): RunConditions {
  const given = checkOptions(filter as Readonly<Record<string, unknown>>, argument, FILTER_KEYS);
  const conditions = Object.fromEntries(
    FILTER_KEYS.filter((key) => Object.hasOwn(given, key))
      .map((key) => [key, checked(key, given[key], `${argument}.${key}`, whenUndefined)] as const)
      .filter(([, value]) => value !== undefined),
  ) as RunConditions;
  checkRange(conditions.createdAfter, conditions.createdBefore, `${argument}.createdBefore`, 'createdAfter');
  checkRange(conditions.finishedAfter, conditions.finishedBefore, `${argument}.finishedBefore`, 'finishedAfter');
  return conditions;
}

function checked(key: keyof RunConditions, value: unknown, argument: string, whenUndefined: UndefinedProperty): unknown {
  if (value === undefined && whenUndefined === 'left out') return undefined;
  if (value === undefined) throw new InvalidInputError(argument, 'is undefined, which must not mean every run: leave it out');
  return key === 'tags' ? checkTags(value, argument, whenUndefined) : CHECKS[key](value, argument);
}

/** Lets null pass a check. */
function orNull<T>(check: Check<T>): Check<T | null> {
  return (value, argument) => (value === null ? null : check(value, argument));
}

/**
 * Checks a value or a list of values. Sorts the values and removes duplicates, because a cursor
 * must not depend on the caller's order.
 */
function oneOrMore<T extends string | number>(check: Check<T>): Check<readonly T[]> {
  return (value, argument) => {
    if (!Array.isArray(value)) return [check(value, argument)];
    if (value.length === 0) throw new InvalidInputError(argument, 'is an empty list, which no run matches: leave it out, or add a member');
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

function checkStatus(value: unknown, argument: string): ShownStatus {
  if (!SHOWN_STATUSES.includes(value as ShownStatus)) throw new InvalidInputError(argument, `must be one of ${SHOWN_STATUSES.join(', ')}`);
  return value as ShownStatus;
}

function checkBoolean(value: unknown, argument: string): boolean {
  if (typeof value !== 'boolean') throw new InvalidInputError(argument, 'must be true or false');
  return value;
}

/**
 * Checks the tags of a filter.
 *
 * @returns undefined when the value of every tag is undefined
 */
function checkTags(value: unknown, argument: string, whenUndefined: UndefinedProperty): Record<string, string> | undefined {
  if (!isPlainObject(value)) throw new InvalidInputError(argument, 'must be an object of texts');
  const keys = keysOf(value, argument).sort();
  if (keys.length === 0) throw new InvalidInputError(argument, 'has no tags, which every run would match: leave it out');
  if (keys.length > MAX_MEMBERS) throw new InvalidInputError(argument, `must have at most ${MAX_MEMBERS} tags, not ${keys.length}`);
  const pairs = keys.flatMap((key) => {
    checkText(key, `a key of ${argument}`);
    const name = `${argument}[${JSON.stringify(key)}]`;
    const tag = readTag(value, key, name);
    return tag === undefined && whenUndefined === 'left out' ? [] : [[key, checkText(tag, name)] as const];
  });
  return pairs.length === 0 ? undefined : Object.fromEntries(pairs);
}

/**
 * Returns the text of a tag.
 *
 * @throws InvalidInputError when the tag is not a text
 */
export function checkTag(tags: Readonly<Record<string, unknown>>, key: string, argument: string): string {
  return checkText(readTag(tags, key, argument), argument);
}

/** Reads a tag. The tag may be a getter that throws an error. */
function readTag(tags: Readonly<Record<string, unknown>>, key: string, argument: string): unknown {
  try {
    return tags[key];
  } catch (cause) {
    throw new InvalidInputError(argument, 'cannot be read', { cause });
  }
}

function checkDate(value: unknown, argument: string): number {
  return toTimestamp(value as Date, argument);
}

function checkRange(after: number | undefined, before: number | undefined, argument: string, other: string): void {
  if (after !== undefined && before !== undefined && before <= after) {
    throw new InvalidInputError(argument, `must be later than ${other}: no run can match`);
  }
}
