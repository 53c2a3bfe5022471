import type { ShownStatus } from '../../core/run.js';
import type { ScheduledFor } from '../../core/schedules/schedule-types.js';
import type { RunConditions } from '../../core/run-filter.js';
import type { Database } from '../database.js';
import { shownStatusSql } from './chains.js';
import { queuedKeySql } from './places.js';
import { scheduledForSql } from './scheduled-for.js';
import { areIndexed, conditionsSql, Parameters } from './run-conditions.js';

/** Columns of a run in a listing. Times are in milliseconds since the epoch. */
export interface RunSummaryRow {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly queue: string;
  readonly priority: number;
  readonly status: ShownStatus;
  readonly createdAt: number;
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  readonly wakeAt: number | null;
  readonly cancelRequestedAt: number | null;
  readonly errorCode: string | null;
  readonly failedStep: string | null;
  readonly parentRunId: string | null;
  readonly isBlocked: boolean;
  readonly continuedAs: string | null;
  readonly batchId: string | null;
  readonly isBatch: boolean;
  readonly schedule: ScheduledFor | null;
  /** Key of a run that waits for a place, empty without a key. Null for all other runs. */
  readonly queuedKey: string | null;
  readonly tags: Readonly<Record<string, string>>;
}

/**
 * A place in the order of a listing: the creation time and the id of a run. Both never change, and
 * no two runs have the same place.
 */
export interface ListPosition {
  /**
   * The run's `created_at` in microseconds since the epoch. With milliseconds, runs of the same
   * millisecond could appear on two pages.
   */
  readonly createdAtMicros: number;
  readonly id: string;
}

const milliseconds = (column: string): string => `extract(epoch FROM ${column})::float8 * 1000`;

/**
 * Way in which a listing finds its runs:
 *
 * - `any`: the planner chooses, usually the index of `created_at` from the newest run on;
 * - `newest`: only the newest runs are read;
 * - `sorted`: all runs that meet the conditions are read and sorted, without this index.
 */
type Reading = 'any' | 'newest' | 'sorted';

/** Number of runs that the reading `newest` reads: about ten milliseconds. */
const NEWEST = 20_000;

/** Number of runs up to which it is faster to sort runs than to read the index over old runs. */
const MAX_SORTED = 150_000;

/**
 * Builds the query for one page of a listing. Its inner query selects the runs of the page, through
 * the index of `created_at` where that is best. So tags are read only for these runs. The query
 * returns the creation time as an integer. As a float, its text would lose a digit with
 * `extra_float_digits = 0`, and the next page would begin too early.
 */
function listSql(listing: Listing, reading: Reading, schema: string): [string, Parameters] {
  const { conditions, after, limit } = listing;
  const parameters = new Parameters();
  const matching = conditionsSql(conditions, parameters, schema);
  const older = olderSql(after, parameters);
  const newest = (): string => {
    const created = conditionsSql(createdConditions(conditions), parameters, schema);
    const count = parameters.add(listing.newest ?? NEWEST, 'int');
    return `(SELECT * FROM ${schema}.workflow_runs r WHERE ${older} AND ${created} ORDER BY r.created_at DESC, r.id DESC LIMIT ${count})`;
  };
  const runs = reading === 'newest' ? newest() : `${schema}.workflow_runs`;
  // No index has the order of an expression.
  const order = reading === 'sorted' ? `r.created_at + interval '0' DESC` : 'r.created_at DESC';
  const text = `SELECT (extract(epoch FROM p.created_at) * 1000000)::bigint::text, json_build_object(
  'id', p.id, 'name', p.name, 'version', p.version, 'queue', p.queue, 'priority', p.priority, 'status', ${shownStatusSql('p')},
  'createdAt', ${milliseconds('p.created_at')}, 'startedAt', ${milliseconds('p.started_at')}, 'finishedAt', ${milliseconds('p.finished_at')},
  'wakeAt', ${milliseconds('p.wake_at')}, 'cancelRequestedAt', ${milliseconds('p.cancel_requested_at')},
  'errorCode', p.error_code, 'failedStep', p.failed_step, 'parentRunId', p.parent_run_id, 'continuedAs', p.continued_as, 'batchId', p.batch_id, 'isBatch', p.batch_size IS NOT NULL, 'schedule', ${scheduledForSql('p')}, 'queuedKey', ${queuedKeySql('p')},
  'isBlocked', p.is_blocked AND p.status IN ('waiting', 'paused'),
  'tags', coalesce((SELECT json_object_agg(t.key, t.value) FROM ${schema}.workflow_tags t WHERE t.run_id = p.id), '{}')
)::text
FROM (
  SELECT r.id, r.name, r.version, r.queue, r.priority, r.status, r.created_at, r.started_at, r.finished_at, r.wake_at, r.cancel_requested_at, r.error_code,
    r.failed_step, r.parent_run_id, r.continued_as, r.is_blocked, r.batch_id, r.batch_size, r.place, r.queue_key, r.schedule, r.due_at
  FROM ${runs} r WHERE ${matching} AND ${older} ORDER BY ${order}, r.id DESC LIMIT ${parameters.add(limit, 'int')}
) AS p ORDER BY p.created_at DESC, p.id DESC`;
  return [text, parameters];
}

/** Builds the condition for runs after a position in the order of a listing. */
function olderSql(after: ListPosition | undefined, parameters: Parameters): string {
  if (after === undefined) return 'true';
  const micros = parameters.add(after.createdAtMicros, 'float8');
  return `(r.created_at, r.id) < (timestamptz '1970-01-01 00:00:00+00' + ${micros} * interval '1 microsecond', ${parameters.add(after.id, 'text')})`;
}

/** Page of a listing: the runs after `after`, at most `limit`. */
interface Listing {
  readonly conditions: RunConditions;
  readonly after: ListPosition | undefined;
  readonly limit: number;
  /** Number of runs that the reading `newest` reads. (default: NEWEST) */
  readonly newest?: number;
}

/** Returns the conditions on the creation time. */
function createdConditions({ createdAfter, createdBefore }: RunConditions): RunConditions {
  return { ...(createdAfter === undefined ? {} : { createdAfter }), ...(createdBefore === undefined ? {} : { createdBefore }) };
}

/**
 * Lists the runs that meet the conditions, newest first, each with its position. With `after`,
 * lists the runs after this position.
 *
 * @throws QueryTimeoutError when the query takes too long
 */
export async function listRuns(
  database: Database,
  conditions: RunConditions,
  after: ListPosition | undefined,
  limit: number,
): Promise<ListedRun[]> {
  const listing = { conditions, after, limit };
  const rows = mayBeOld(conditions) ? await readOld(database, listing) : await read(database, listing, 'any');
  return rows.map(toListed);
}

/** A run of a listing with its position. */
export interface ListedRun {
  readonly row: RunSummaryRow;
  readonly position: ListPosition;
}

function toListed([micros, fields]: Row): ListedRun {
  const row = JSON.parse(fields) as RunSummaryRow;
  return { row, position: { createdAtMicros: Number(micros), id: row.id } };
}

/** Number of runs that a search reads after its first page: about a tenth of a second. */
const NEXT = 100_000;

/** Runs that a search has found. */
export interface FoundRuns {
  readonly rows: readonly ListedRun[];
  /** Position up to which runs were searched; undefined when older runs were searched too. */
  readonly searchedTo: ListPosition | undefined;
}

/**
 * Lists runs as `listRuns` does, and reads a limited number of runs when no index selects few of
 * them: a filter that no run meets would otherwise read the whole table.
 *
 * @throws QueryTimeoutError when the query takes too long
 */
export async function searchRuns(
  database: Database,
  conditions: RunConditions,
  after: ListPosition | undefined,
  limit: number,
): Promise<FoundRuns> {
  const listing = { conditions, after, limit, newest: after === undefined ? NEWEST : NEXT };
  const newest = (await read(database, listing, 'newest')).map(toListed);
  if (newest.length === limit) return { rows: newest, searchedTo: undefined };
  const searchedTo = await positionOf(database, listing);
  if (searchedTo === undefined) return { rows: newest, searchedTo };
  const reading = await readingOfAll(database, conditions);
  return reading === undefined
    ? { rows: newest, searchedTo }
    : { rows: (await read(database, listing, reading)).map(toListed), searchedTo: undefined };
}

/** Returns the position of the last run that the reading `newest` reads, if older runs follow. */
async function positionOf(database: Database, { conditions, after, newest = NEWEST }: Listing): Promise<ListPosition | undefined> {
  const parameters = new Parameters();
  const older = olderSql(after, parameters);
  const created = conditionsSql(createdConditions(conditions), parameters, database.schema);
  const text = `SELECT (extract(epoch FROM r.created_at) * 1000000)::bigint::text, r.id FROM ${database.schema}.workflow_runs r
WHERE ${older} AND ${created} ORDER BY r.created_at DESC, r.id DESC LIMIT 2 OFFSET ${parameters.add(newest - 1, 'int')}`;
  const [last, next] = await database.read<[micros: string, id: string]>(text, parameters.values);
  return last === undefined || next === undefined ? undefined : { createdAtMicros: Number(last[0]), id: last[1] };
}

/** Statuses whose runs are in a partial index that has few entries. */
const SPARSE: ReadonlySet<ShownStatus> = new Set(['pending', 'running', 'paused']);

/** Statuses whose runs are in an index in the order of a listing. */
const ORDERED: ReadonlySet<ShownStatus> = new Set(['waiting', 'cancelled', 'continued', 'paused']);

/** Number of runs that a search sorts. */
const MAX_SEARCHED = 50_000;

/** Returns the way to read all runs that meet the conditions; undefined when no index helps. */
async function readingOfAll(database: Database, conditions: RunConditions): Promise<'any' | 'sorted' | undefined> {
  const { name, version, queue, errorCode, failedStep, status, blocked } = conditions;
  if (hasIndexOfItsOwn(conditions)) return 'any';
  if (blocked === true || status?.every((each) => SPARSE.has(each)) || isInOrder(conditions)) return 'any';
  const isFailed = errorCode !== undefined || failedStep !== undefined;
  const kind = { ...(name && { name }), ...(version && { version }), ...(queue && { queue }) };
  const selections: RunConditions[] = [
    ...(isFailed ? [{ status: ['failed'] as const }] : []),
    ...(status && areIndexed(status) ? [{ status }] : []),
    ...(Object.keys(kind).length > 0 ? [kind] : []),
  ];
  for (const selection of selections) if ((await estimate(database, selection)) <= MAX_SEARCHED) return 'sorted';
  return undefined;
}

/** True when an index has exactly the runs that meet the conditions, in the order of a listing. */
function isInOrder({ status, createdAfter: _, createdBefore: __, ...others }: RunConditions): boolean {
  return status?.length === 1 && ORDERED.has(status[0]!) && Object.keys(others).length === 0;
}

type Row = [micros: string, fields: string];

async function read(database: Database, listing: Listing, reading: Reading): Promise<Row[]> {
  const [text, { values }] = listSql(listing, reading, database.schema);
  return database.read<Row>(text, values);
}

/**
 * Returns true when all runs that meet the conditions may be old, such as runs of a former version.
 * The planner assumes that such runs are spread over all times, and would read past all newer ones.
 * Conditions that have an index of their own select few runs.
 */
function mayBeOld(conditions: RunConditions): boolean {
  const { name, version, queue, errorCode, failedStep } = conditions;
  if (hasIndexOfItsOwn(conditions)) return false;
  // Most runs have no error code, so the planner expects to find failed runs without one soon.
  if (errorCode === null || failedStep === null) return true;
  return errorCode === undefined && failedStep === undefined && (name !== undefined || version !== undefined || queue !== undefined);
}

/** True when one of the conditions has an index in which few runs match. */
function hasIndexOfItsOwn({ tags, schedule, parentRunId }: RunConditions): boolean {
  return tags !== undefined || schedule !== undefined || typeof parentRunId === 'string';
}

/** Reads a page whose runs may all be old. Begins with the newest runs, which usually suffice. */
async function readOld(database: Database, listing: Listing): Promise<Row[]> {
  const newest = await read(database, listing, 'newest');
  if (newest.length === listing.limit) return newest;
  return read(database, listing, (await estimate(database, listing.conditions)) > MAX_SORTED ? 'any' : 'sorted');
}

/** Estimates how many runs meet the conditions, from the statistics of the table. */
async function estimate(database: Database, conditions: RunConditions): Promise<number> {
  const parameters = new Parameters();
  const matching = conditionsSql(conditions, parameters, database.schema);
  const text = `EXPLAIN (FORMAT JSON) SELECT 1 FROM ${database.schema}.workflow_runs r WHERE ${matching}`;
  const [row] = await database.read<[string | [{ Plan: { 'Plan Rows': number } }]]>(text, parameters.values);
  const plans = typeof row![0] === 'string' ? (JSON.parse(row![0]) as [{ Plan: { 'Plan Rows': number } }]) : row![0];
  return plans[0].Plan['Plan Rows'];
}

/**
 * Returns the exact number of runs that meet the conditions.
 *
 * @throws QueryTimeoutError when the query takes too long
 */
export async function countRuns(database: Database, conditions: RunConditions): Promise<number> {
  const parameters = new Parameters();
  const matching = conditionsSql(conditions, parameters, database.schema);
  const [row] = await database.read<[number]>(
    `SELECT count(*)::float8 FROM ${database.schema}.workflow_runs r WHERE ${matching}`,
    parameters.values,
  );
  // The application may have replaced the type parser for float8, so the value may be text.
  return Number(row![0]);
}
