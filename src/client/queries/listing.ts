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

/** Selects a page of runs. */
export interface ListOptions extends RunFilter {
  /** The `cursor` of the previous page, from a listing with the same filter. */
  cursor?: string | undefined;
  /** Runs per page, from 1 to 1,000 (default: 50). */
  limit?: number | undefined;
}

/** A run in a listing. `describe` also returns its payloads. */
export interface RunSummary {
  runId: string;
  name: string;
  /**
   * Version of the workflow. It is 0 for a run that was started by name, until a worker claims the
   * run.
   */
  version: number;
  queue: string;
  priority: number;
  /** Status of the run; `continued` when another run continues it. */
  status: ShownStatus;
  /**
   * True when the run waits for a deployment whose code matches its history. `describe` names the
   * deployments that do not match.
   */
  blocked: boolean;
  tags: Record<string, string>;
  createdAt: Date;
  startedAt: Date | undefined;
  finishedAt: Date | undefined;
  /** Moment at which a waiting run becomes due without a message. */
  wakeAt: Date | undefined;
  cancelRequestedAt: Date | undefined;
  /** Code of the error that failed the run, or the error's name. */
  errorCode: string | undefined;
  /** Name of the step that failed the run. */
  failedStep: string | undefined;
  /** The run that started this run. */
  parentRunId: string | undefined;
  /** The run that continues this run. */
  continuedAs: string | undefined;
}

/** A page of a listing. */
export interface RunPage {
  /** Runs, newest first. */
  runs: RunSummary[];
  /** Cursor of the next page; undefined on the last page. */
  cursor: string | undefined;
}

/** Property by which failures are grouped. */
export type FailureGrouping = FailureDimension;

/** Selects failed runs, and the properties to group them by. */
export interface FailuresOptions {
  /** Time before now, or the moment after which the runs failed. */
  since: Duration | Date;
  /** Properties that are the same for all runs of a group. */
  groupBy: FailureGrouping | readonly FailureGrouping[];
  /** Number of groups, from 1 to 1,000 (default: 50). */
  limit?: number | undefined;
}

/**
 * Failed runs that have properties in common. Properties that were not grouped by are undefined.
 */
export interface FailureGroup {
  workflow: string | undefined;
  errorCode: string | undefined;
  /** Name of the failed step; undefined also for runs that failed outside a step. */
  failedStep: string | undefined;
  count: number;
  firstAt: Date;
  lastAt: Date;
  /** Id of a run of the group. */
  exampleRunId: string;
}

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 1_000;

/** @throws InvalidInputError, QueryTimeoutError @internal */
export async function listPage(database: Database, options: ListOptions): Promise<RunPage> {
  const { cursor, limit, ...filter } = checkOptions(options, 'filter', [...FILTER_KEYS, 'cursor', 'limit']);
  const conditions = checkRunFilter(filter, 'filter', 'left out');
  const size = checkLimit(limit, 'filter.limit', DEFAULT_LIMIT, MAX_LIMIT);
  const position = cursor === undefined ? undefined : decodeListCursor(cursor, conditions, 'filter.cursor');
  // One run more than requested shows whether another page follows.
  const found = await listRuns(database, conditions, position, size + 1);
  const shown = found.slice(0, size);
  return {
    runs: shown.map(({ row }) => toSummary(row)),
    cursor: found.length > size ? encodeListCursor(shown.at(-1)!.position, conditions) : undefined,
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
