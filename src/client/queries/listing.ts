import { checkOptions } from '../../core/check-options.js';
import { toDate, toMilliseconds, toTimestamp, type Duration } from '../../core/duration.js';
import { InvalidInputError } from '../../core/errors/index.js';
import type { ShownStatus } from '../../core/run.js';
import type { Database } from '../../store/database.js';
import type { FailureDimension } from '../../core/failure.js';
import { FAILURE_DIMENSIONS, groupFailures } from '../../store/sql/group-failures.js';
import { listRuns, type RunSummaryRow } from '../../store/sql/list-runs.js';
import { checkLimit, decodeListCursor, encodeListCursor } from './cursor.js';
import { checkRunFilter, FILTER_KEYS, type RunFilter } from './run-filter.js';

/** Which runs, and how many at a time. */
export interface ListOptions extends RunFilter {
  /** Where to go on: the `cursor` of the page before, of a listing with the same filter. */
  cursor?: string | undefined;
  /** The most runs of a page, from 1 to 1,000. Default 50. */
  limit?: number | undefined;
}

/** A run in a listing: everything but its payloads, which `describe` gives. */
export interface RunSummary {
  runId: string;
  name: string;
  /** 0 until a worker claims a run that was started by name alone. */
  version: number;
  queue: string;
  priority: number;
  /** `continued` where another run goes on in its place. */
  status: ShownStatus;
  /** True when the run waits for a deployment whose code fits its history; `describe` names those that do not. */
  blocked: boolean;
  tags: Record<string, string>;
  createdAt: Date;
  startedAt: Date | undefined;
  finishedAt: Date | undefined;
  /** When a waiting run becomes due by itself. */
  wakeAt: Date | undefined;
  cancelRequestedAt: Date | undefined;
  /** Of a failed run: the code of the error that the application threw, or its name. */
  errorCode: string | undefined;
  /** Of a run that failed by a step: the step's name. */
  failedStep: string | undefined;
  parentRunId: string | undefined;
  /** The run that goes on in its place. */
  continuedAs: string | undefined;
}

/** A part of a listing. */
export interface RunPage {
  /** Newest first. */
  runs: RunSummary[];
  /** For the next page; undefined after the last. */
  cursor: string | undefined;
}

/** What failures can be grouped by. */
export type FailureGrouping = FailureDimension;

/** Which failures, and what makes them alike. */
export interface FailuresOptions {
  /** How long ago, or from when on. */
  since: Duration | Date;
  groupBy: FailureGrouping | readonly FailureGrouping[];
  /** The most groups, from 1 to 1,000. Default 50. */
  limit?: number | undefined;
}

/** Failed runs that have something in common. What was not grouped by is undefined. */
export interface FailureGroup {
  workflow: string | undefined;
  errorCode: string | undefined;
  /** Undefined also for runs that failed outside of steps. */
  failedStep: string | undefined;
  count: number;
  firstAt: Date;
  lastAt: Date;
  /** One of them, to look at. */
  exampleRunId: string;
}

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 1_000;

/** @throws InvalidInputError, QueryTimeoutError @internal */
export async function listPage(database: Database, options: ListOptions): Promise<RunPage> {
  const { cursor, limit, ...filter } = checkOptions(options, 'filter', [...FILTER_KEYS, 'cursor', 'limit']);
  const conditions = checkRunFilter(filter, 'filter', 'left out');
  const most = checkLimit(limit, 'filter.limit', DEFAULT_LIMIT, MAX_LIMIT);
  const position = cursor === undefined ? undefined : decodeListCursor(cursor, conditions, 'filter.cursor');
  // One more than is shown tells whether there is another page.
  const found = await listRuns(database, conditions, position, most + 1);
  const shown = found.slice(0, most);
  return {
    runs: shown.map(({ row }) => toSummary(row)),
    cursor: found.length > most ? encodeListCursor(shown.at(-1)!.position, conditions) : undefined,
  };
}

/** @throws InvalidInputError, QueryTimeoutError @internal */
export async function failureGroups(database: Database, options: FailuresOptions, now: number): Promise<FailureGroup[]> {
  const { since, groupBy, limit } = checkOptions(options, 'options', ['since', 'groupBy', 'limit']);
  const from = since instanceof Date ? toTimestamp(since, 'options.since') : now - toMilliseconds(since, 'options.since');
  const groups = await groupFailures(database, from, checkGrouping(groupBy), checkLimit(limit, 'options.limit', DEFAULT_LIMIT, MAX_LIMIT));
  return groups.map(({ keys, count, firstAt, lastAt, exampleRunId }) => ({
    workflow: keys.workflow ?? undefined,
    errorCode: keys.errorCode ?? undefined,
    failedStep: keys.failedStep ?? undefined,
    count,
    firstAt: new Date(firstAt),
    lastAt: new Date(lastAt),
    exampleRunId,
  }));
}

function checkGrouping(groupBy: unknown): FailureGrouping[] {
  const dimensions: unknown[] = Array.isArray(groupBy) ? groupBy : [groupBy];
  if (dimensions.length === 0 || !Array.from(dimensions).every((each) => FAILURE_DIMENSIONS.includes(each as FailureGrouping))) {
    throw new InvalidInputError('options.groupBy', `must be one or more of ${FAILURE_DIMENSIONS.join(', ')}`);
  }
  return [...new Set(dimensions as FailureGrouping[])];
}

function toSummary(row: RunSummaryRow): RunSummary {
  return {
    runId: row.id,
    name: row.name,
    version: row.version,
    queue: row.queue,
    priority: row.priority,
    status: row.status,
    blocked: row.isBlocked,
    tags: { ...row.tags },
    createdAt: new Date(row.createdAt),
    startedAt: toDate(row.startedAt),
    finishedAt: toDate(row.finishedAt),
    wakeAt: toDate(row.wakeAt),
    cancelRequestedAt: toDate(row.cancelRequestedAt),
    errorCode: row.errorCode ?? undefined,
    failedStep: row.failedStep ?? undefined,
    parentRunId: row.parentRunId ?? undefined,
    continuedAs: row.continuedAs ?? undefined,
  };
}
