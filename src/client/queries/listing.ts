import { checkOptions } from '../../core/check-options.js';
import { toDate, toMilliseconds, toTimestamp, type Duration } from '../../core/duration.js';
import { InvalidInputError } from '../../core/errors/index.js';
import type { ShownStatus } from '../../core/run.js';
import type { RunSchedule } from '../../core/schedules/schedule-types.js';
import type { RunConditions } from '../../core/run-filter.js';
import type { QueueLimitName } from '../../core/queue-limits.js';
import type { Database } from '../../store/database.js';
import type { FailureDimension } from '../../core/failure.js';
import { FAILURE_DIMENSIONS, groupFailures } from '../../store/sql/group-failures.js';
import { findWaitedLimits, type WaitedPlace } from '../../store/sql/list-queues.js';
import { listRuns, searchRuns, type ListPosition, type RunSummaryRow } from '../../store/sql/list-runs.js';
import { checkLimit, decodeListCursor, encodeListCursor } from './cursor.js';
import { toRunSchedule } from './describe.js';
import { checkRunFilter, FILTER_KEYS, type RunFilter } from './run-filter.js';

/** Options that select a page of runs. */
export interface ListOptions extends RunFilter {
  /**
   * `cursor` of the previous page. The filter must be the same as for that page. (default: the
   * first page)
   */
  cursor?: string | undefined;
  /** Runs per page, from 1 to 1,000. (default: 50) */
  limit?: number | undefined;
}

/** A run in a listing. `describe` also returns its input and output. */
export interface RunSummary {
  /** Id of the run. */
  runId: string;
  /** Name of the workflow. */
  name: string;
  /**
   * Version of the workflow. For a run that was started by name, it is 0 until a worker claims the
   * run.
   */
  version: number;
  /** Queue of the run. */
  queue: string;
  /** Priority of the run. Due runs with a higher priority are claimed first. */
  priority: number;
  /** Status of the run. `continued` means that another run continues it. */
  status: ShownStatus;
  /**
   * True when the run waits for a deployment whose code matches its history. `describe` names the
   * deployments that do not match.
   */
  blocked: boolean;
  /** Tags of the run. */
  tags: Record<string, string>;
  /** Moment at which the run was created. */
  createdAt: Date;
  /** Moment of the first execution. Undefined before it. */
  startedAt: Date | undefined;
  /** Moment at which the run ended. Undefined before its end. */
  finishedAt: Date | undefined;
  /** Moment at which a waiting run becomes due, even if no message arrives. */
  wakeAt: Date | undefined;
  /** Moment at which a cancellation was requested. Undefined without a request. */
  cancelRequestedAt: Date | undefined;
  /** Code of the error that made the run fail, or the error's name when it has no code. */
  errorCode: string | undefined;
  /** Name of the step that made the run fail. */
  failedStep: string | undefined;
  /** Id of the run that started this run. */
  parentRunId: string | undefined;
  /** Id of the run that continues this run. */
  continuedAs: string | undefined;
  /** Id of the run that executes the batch of which this run is a member. */
  batchId: string | undefined;
  /** True when the run executes a batch. */
  isBatch: boolean;
  /**
   * Name of the schedule that started the run, and due time of the run. Undefined when no schedule
   * started the run.
   */
  schedule: RunSchedule | undefined;
  /** Place for which the run waits in a queue with limits. Undefined for all other runs. */
  waitingFor: WaitingForPlace | undefined;
}

/** A wait for a place in a queue with limits. `describe` also returns the position. */
export interface WaitingForPlace {
  /** Queue that must admit the run. */
  queue: string;
  /** Key of the run within its queue. Undefined without a key. */
  key: string | undefined;
  /** Limit of the queue that admits no further run now. */
  limit: QueueLimitName;
}

/** A page of a listing. */
export interface RunPage {
  /** Runs of the page, newest first. */
  runs: RunSummary[];
  /** Cursor of the next page. Undefined on the last page. */
  cursor: string | undefined;
}

/** Property by which failed runs are grouped. */
export type FailureGrouping = FailureDimension;

/** Options that select failed runs and the properties to group them by. */
export interface FailuresOptions {
  /**
   * Length of the period before now (milliseconds, or a duration such as `'5m'`), or the Date at
   * which the period begins. Only runs that failed in this period count.
   */
  since: Duration | Date;
  /** Properties by which to group. All runs of a group have the same values. */
  groupBy: FailureGrouping | readonly FailureGrouping[];
  /** Maximum number of groups, from 1 to 1,000. (default: 50) */
  limit?: number | undefined;
}

/**
 * Failed runs that have the same values of the properties in `groupBy`. Properties that are not in
 * `groupBy` are undefined.
 */
export interface FailureGroup {
  /** Name of the workflow. */
  workflow: string | undefined;
  /** Version of the workflow. */
  version: number | undefined;
  /** Code of the error that made the runs fail, or the error's name when it has no code. */
  errorCode: string | undefined;
  /** Name of the failed step. Also undefined for runs that failed outside a step. */
  failedStep: string | undefined;
  /** Beginning of the hour in which the runs failed, in UTC. */
  hour: Date | undefined;
  /** Number of runs in the group. */
  count: number;
  /** Moment of the first failure. */
  firstAt: Date;
  /** Moment of the last failure. */
  lastAt: Date;
  /** Id of one run of the group. */
  exampleRunId: string;
}

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 1_000;

/**
 * Reads a page of runs.
 *
 * @throws InvalidInputError, QueryTimeoutError
 * @internal
 */
export async function listPage(database: Database, options: ListOptions): Promise<RunPage> {
  const { conditions, size, position } = checkListOptions(options);
  // One run more than requested is read, to see whether another page follows.
  const found = await listRuns(database, conditions, position, size + 1);
  const shown = found.slice(0, size);
  const rows = shown.map(({ row }) => row);
  const cursor = found.length > size ? encodeListCursor(shown.at(-1)!.position, conditions) : undefined;
  return { runs: await toSummaries(database, rows), cursor };
}

/**
 * A page of a search: a page of a listing, or the runs that were found in a limited number of runs.
 *
 * @internal
 */
export interface SearchPage extends RunPage {
  /**
   * Creation time of the oldest run that was searched, when older runs were not searched. The
   * cursor continues there. Undefined when the page is complete.
   */
  searchedTo: Date | undefined;
}

/**
 * Reads a page of runs as `listPage` does, but never more than a limited number of runs when no
 * index selects them.
 *
 * @throws InvalidInputError, QueryTimeoutError
 * @internal
 */
export async function searchPage(database: Database, options: ListOptions): Promise<SearchPage> {
  const { conditions, size, position } = checkListOptions(options);
  const { rows: found, searchedTo } = await searchRuns(database, conditions, position, size + 1);
  const shown = found.slice(0, size);
  const next: ListPosition | undefined = found.length > size ? shown.at(-1)!.position : searchedTo;
  return {
    runs: await toSummaries(
      database,
      shown.map(({ row }) => row),
    ),
    cursor: next && encodeListCursor(next, conditions),
    searchedTo: searchedTo && new Date(searchedTo.createdAtMicros / 1_000),
  };
}

interface CheckedList {
  readonly conditions: RunConditions;
  readonly size: number;
  readonly position: ListPosition | undefined;
}

function checkListOptions(options: ListOptions): CheckedList {
  const { cursor, limit, ...filter } = checkOptions(options, 'filter', [...FILTER_KEYS, 'cursor', 'limit']);
  const conditions = checkRunFilter(filter, 'filter', 'left out');
  const size = checkLimit(limit, 'filter.limit', DEFAULT_LIMIT, MAX_LIMIT);
  return { conditions, size, position: cursor === undefined ? undefined : decodeListCursor(cursor, conditions, 'filter.cursor') };
}

/**
 * Groups failed runs, and returns the largest groups.
 *
 * @throws InvalidInputError, QueryTimeoutError
 * @internal
 */
export async function failureGroups(database: Database, options: FailuresOptions, now: number): Promise<FailureGroup[]> {
  const { since, groupBy, limit } = checkOptions(options, 'options', ['since', 'groupBy', 'limit']);
  const from = since instanceof Date ? toTimestamp(since, 'options.since') : now - toMilliseconds(since, 'options.since');
  const groups = await groupFailures(database, from, checkGrouping(groupBy), checkLimit(limit, 'options.limit', DEFAULT_LIMIT, MAX_LIMIT));
  return groups.map(({ keys, count, firstAt, lastAt, exampleRunId }) => ({
    workflow: keys.workflow ?? undefined,
    version: numberOf(keys.version),
    errorCode: keys.errorCode ?? undefined,
    failedStep: keys.failedStep ?? undefined,
    hour: toDate(numberOf(keys.hour) ?? null),
    count,
    firstAt: new Date(firstAt),
    lastAt: new Date(lastAt),
    exampleRunId,
  }));
}

function numberOf(key: string | null | undefined): number | undefined {
  return key === null || key === undefined ? undefined : Number(key);
}

function checkGrouping(groupBy: unknown): FailureGrouping[] {
  const dimensions: unknown[] = Array.isArray(groupBy) ? groupBy : [groupBy];
  if (dimensions.length === 0 || !Array.from(dimensions).every((each) => FAILURE_DIMENSIONS.includes(each as FailureGrouping))) {
    throw new InvalidInputError('options.groupBy', `must be one or more of ${FAILURE_DIMENSIONS.join(', ')}`);
  }
  return [...new Set(dimensions as FailureGrouping[])];
}

/** Reads the limits for which runs of the page wait, if any run waits for a place. */
async function toSummaries(database: Database, rows: readonly RunSummaryRow[]): Promise<RunSummary[]> {
  const pairOf = (queue: string, key: string): string => JSON.stringify([queue, key]);
  const places = new Map<string, WaitedPlace>();
  for (const { queue, queuedKey } of rows) if (queuedKey !== null) places.set(pairOf(queue, queuedKey), { queue, key: queuedKey });
  const limits = places.size === 0 ? [] : await findWaitedLimits(database, [...places.values()]);
  const limitOf = new Map(limits.map(({ queue, key, limit }) => [pairOf(queue, key), limit]));
  return rows.map((row) => {
    const { queue, queuedKey } = row;
    const limit = queuedKey === null ? undefined : limitOf.get(pairOf(queue, queuedKey));
    return { ...toSummary(row), waitingFor: limit && { queue, key: queuedKey || undefined, limit } };
  });
}

function toSummary(row: RunSummaryRow): Omit<RunSummary, 'waitingFor'> {
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
    batchId: row.batchId ?? undefined,
    isBatch: row.isBatch,
    schedule: toRunSchedule(row.schedule),
  };
}
