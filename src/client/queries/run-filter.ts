import { checkOptions, isPlainObject, keysOf } from '../../core/check-options.js';
import { toTimestamp } from '../../core/duration.js';
import { InvalidInputError } from '../../core/errors/index.js';
import { checkText } from '../../core/ids.js';
import { MAX_VERSION, SHOWN_STATUSES, type ShownStatus } from '../../core/run.js';
import type { RunConditions } from '../../core/run-filter.js';

/** Which runs. What is absent does not restrict; a run must meet everything that is there, and of a list any member. */
export interface RunFilter {
  /** Of the workflow. */
  name?: string | readonly string[] | undefined;
  /** Of the workflow; 0 are runs started by name alone that nobody has claimed yet. */
  version?: number | readonly number[] | undefined;
  /** `continued`: ended by `ctx.continueAsNew`; `completed` are the others. */
  status?: ShownStatus | readonly ShownStatus[] | undefined;
  queue?: string | readonly string[] | undefined;
  /** Whether a run waits for a deployment whose code fits its history. */
  blocked?: boolean | undefined;
  /** The run that started it; `null` for runs that no run started. */
  parentRunId?: string | null | undefined;
  /** All of them must match. */
  tags?: Readonly<Record<string, string>> | undefined;
  /**
   * Failed runs by the `code` of the error that the application threw, or by its name where it has none. What wraps it does not count:
   * StepFailedError, WorkflowFailedError, NonRetryableError, RetryableError.
   */
  errorCode?: string | readonly string[] | undefined;
  /** Failed runs by the name of the step that they failed by: `charge`, whichever call of it failed. */
  failedStep?: string | readonly string[] | undefined;
  /** Created then or later. */
  createdAfter?: Date | undefined;
  /** Created before. */
  createdBefore?: Date | undefined;
  /** Ended then or later. */
  finishedAfter?: Date | undefined;
  /** Ended before. */
  finishedBefore?: Date | undefined;
}

/** A list is for a handful of names; thousands of them are another question. */
const MAX_MEMBERS = 100;

type Check<T> = (value: unknown, argument: string) => T;

const CHECKS: { readonly [K in Exclude<keyof RunConditions, 'tags'>]-?: Check<Exclude<RunConditions[K], undefined>> } = {
  name: oneOrMore(checkText),
  version: oneOrMore(checkVersion),
  status: oneOrMore(checkStatus),
  queue: oneOrMore(checkText),
  blocked: checkBoolean,
  parentRunId: (value, argument) => (value === null ? null : checkText(value, argument)),
  errorCode: oneOrMore(checkText),
  failedStep: oneOrMore(checkText),
  createdAfter: checkDate,
  createdBefore: checkDate,
  finishedAfter: checkDate,
  finishedBefore: checkDate,
};

/** The keys of a filter. */
export const FILTER_KEYS = [...Object.keys(CHECKS), 'tags'] as (keyof RunFilter)[];

/** What an `undefined` in a filter means. */
export type Undefined = 'left out' | 'refused';

/**
 * Checks a filter.
 *
 * @param argument how the caller names it, for the error
 * @param ofUndefined `'refused'` where something is done to the runs: what was meant to be a name would mean every run
 * @throws InvalidInputError naming the part
 */
export function checkRunFilter(filter: unknown, argument: string, ofUndefined: Undefined): RunConditions {
  const given = checkOptions(filter as Readonly<Record<string, unknown>>, argument, FILTER_KEYS);
  const conditions = Object.fromEntries(
    FILTER_KEYS.filter((key) => Object.hasOwn(given, key))
      .map((key) => [key, checked(key, given[key], `${argument}.${key}`, ofUndefined)] as const)
      .filter(([, value]) => value !== undefined),
  ) as RunConditions;
  checkRange(conditions.createdAfter, conditions.createdBefore, `${argument}.createdBefore`, 'createdAfter');
  checkRange(conditions.finishedAfter, conditions.finishedBefore, `${argument}.finishedBefore`, 'finishedAfter');
  return conditions;
}

function checked(key: keyof RunConditions, value: unknown, argument: string, ofUndefined: Undefined): unknown {
  if (value === undefined && ofUndefined === 'left out') return undefined;
  if (value === undefined) throw new InvalidInputError(argument, 'is undefined, which must not mean every run: leave it out');
  return key === 'tags' ? checkTags(value, argument, ofUndefined) : CHECKS[key](value, argument);
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

function checkStatus(value: unknown, argument: string): ShownStatus {
  if (!SHOWN_STATUSES.includes(value as ShownStatus)) throw new InvalidInputError(argument, `must be one of ${SHOWN_STATUSES.join(', ')}`);
  return value as ShownStatus;
}

function checkBoolean(value: unknown, argument: string): boolean {
  if (typeof value !== 'boolean') throw new InvalidInputError(argument, 'must be true or false');
  return value;
}

/** @returns undefined when all of them are left out */
function checkTags(value: unknown, argument: string, ofUndefined: Undefined): Record<string, string> | undefined {
  if (!isPlainObject(value)) throw new InvalidInputError(argument, 'must be an object of texts');
  const keys = keysOf(value, argument).sort();
  if (keys.length === 0) throw new InvalidInputError(argument, 'has no tags, which every run would meet: leave it out');
  if (keys.length > MAX_MEMBERS) throw new InvalidInputError(argument, `must have at most ${MAX_MEMBERS} tags, not ${keys.length}`);
  const pairs = keys.flatMap((key) => {
    checkText(key, `a key of ${argument}`);
    const name = `${argument}[${JSON.stringify(key)}]`;
    const tag = readTag(value, key, name);
    return tag === undefined && ofUndefined === 'left out' ? [] : [[key, checkText(tag, name)] as const];
  });
  return pairs.length === 0 ? undefined : Object.fromEntries(pairs);
}

/** The text of a tag. @throws InvalidInputError */
export function checkTag(tags: Readonly<Record<string, unknown>>, key: string, argument: string): string {
  return checkText(readTag(tags, key, argument), argument);
}

/** A getter may throw. */
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
    throw new InvalidInputError(argument, `must be later than ${other}: no run is in between`);
  }
}
