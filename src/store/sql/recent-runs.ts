import type { ShownStatus } from '../../core/run.js';
import type { RunConditions } from '../../core/run-filter.js';
import type { Database, Statement } from '../database.js';
import { shownStatusSql } from './chains.js';
import { conditionsSql, Parameters } from './run-conditions.js';

/** Number of the newest runs that `countRecentRuns` reads: about ten milliseconds. */
export const RECENT_RUNS = 10_000;

/** Runs of one status among the newest runs. */
export interface RecentCount {
  readonly status: ShownStatus;
  readonly count: number;
}

/**
 * Counts runs by status among the newest runs, through the index of `created_at`. The number of
 * runs that are read has a limit, so the cost does not grow with the table.
 *
 * @returns the counts, and true for `isComplete` when the limit left out no run
 * @throws QueryTimeoutError when the query takes too long
 */
export async function countRecentRuns(
  database: Database,
  conditions: RunConditions,
): Promise<{ counts: RecentCount[]; isComplete: boolean }> {
  const parameters = new Parameters();
  const matching = conditionsSql(conditions, parameters, database.schema);
  const created = conditionsSql(createdOf(conditions), parameters, database.schema);
  const text = `SELECT (${matching}) AS matches, ${shownStatusSql('r')}, count(*)::float8 FROM (
  SELECT * FROM ${database.schema}.workflow_runs r WHERE ${created} ORDER BY r.created_at DESC, r.id DESC LIMIT ${RECENT_RUNS}
) AS r GROUP BY 1, 2`;
  const rows = await database.read<[boolean, ShownStatus, number]>(text, parameters.values);
  const read = rows.reduce((sum, [, , count]) => sum + Number(count), 0);
  return {
    counts: rows.flatMap(([matches, status, count]) => (matches ? [{ status, count: Number(count) }] : [])),
    isComplete: read < RECENT_RUNS,
  };
}

function createdOf({ createdAfter, createdBefore }: RunConditions): RunConditions {
  return { ...(createdAfter === undefined ? {} : { createdAfter }), ...(createdBefore === undefined ? {} : { createdBefore }) };
}

/** Number at which `countActiveRuns` stops to count. */
const ACTIVE_COUNTED = 1_000;

/** Number of runs in the states that operators watch, at most `ACTIVE_COUNTED` of each. */
export interface ActiveCounts {
  readonly pending: number;
  readonly running: number;
  readonly paused: number;
  readonly blocked: number;
  /** Number of runs that failed in the last 24 hours. */
  readonly failed: number;
}

/** Reads one partial index per state. */
const ACTIVE: Statement = {
  name: 'durable_active_counts',
  text: (schema) => {
    const bounded = (condition: string): string =>
      `(SELECT count(*)::int FROM (SELECT 1 FROM ${schema}.workflow_runs WHERE ${condition} LIMIT ${ACTIVE_COUNTED}) AS counted)`;
    return `SELECT ${[
      "status = 'pending' AND worker_losses < 2",
      "status = 'running'",
      "status = 'paused'",
      "status = 'waiting' AND is_blocked",
      "status = 'failed' AND finished_at >= now() - interval '24 hours'",
    ]
      .map(bounded)
      .join(',\n  ')}`;
  },
};

/** Counts the runs in the states that operators watch. The cost does not grow with the table. */
export async function countActiveRuns(database: Database): Promise<ActiveCounts> {
  const [row] = await database.query<[number, number, number, number, number]>(ACTIVE, []);
  const [pending, running, paused, blocked, failed] = row!;
  return { pending, running, paused, blocked, failed };
}

/** Number of the newest runs of the last hour that `readWorkflowRates` reads. */
export const RATED_RUNS = 20_000;

/** Number of parts of five minutes into which the last hour is divided. */
const PARTS = 12;

/** Runs of a workflow that were created in the last hour. Durations are in milliseconds. */
export interface WorkflowRate {
  readonly name: string;
  readonly version: number;
  readonly started: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  /** Median time from first execution to end of completed runs. Null when none completed. */
  readonly p50Ms: number | null;
  /** Time within which 95 of 100 completed runs ended. Null when none completed. */
  readonly p95Ms: number | null;
  /** Time of the last start, in milliseconds since the epoch. */
  readonly lastAt: number;
  /** Number of runs that were created in each five minutes of the hour, oldest first. */
  readonly parts: readonly number[];
}

const RATES: Statement = {
  name: 'durable_workflow_rates',
  text: (schema) => {
    const duration = 'extract(epoch FROM r.finished_at - r.started_at)::float8 * 1000';
    const percentile = (share: number): string =>
      `percentile_cont(${share}) WITHIN GROUP (ORDER BY ${duration}) FILTER (WHERE r.status = 'completed')`;
    const parts = Array.from({ length: PARTS }, (_, part) => `count(*) FILTER (WHERE r.part = ${part})::int`);
    const ended = (status: string): string => `count(*) FILTER (WHERE r.status = '${status}')::int`;
    return `SELECT r.name, r.version, count(*)::int, ${ended('completed')}, ${ended('failed')}, ${ended('cancelled')},
  ${percentile(0.5)}, ${percentile(0.95)}, extract(epoch FROM max(r.created_at))::float8 * 1000, ARRAY[${parts.join(', ')}],
  sum(count(*)) OVER ()::int
FROM (
  SELECT name, version, status, created_at, started_at, finished_at,
    least(${PARTS - 1}, ${PARTS - 1} - floor(extract(epoch FROM now() - created_at) / ${3_600 / PARTS}))::int AS part
  FROM ${schema}.workflow_runs WHERE created_at >= now() - interval '1 hour' ORDER BY created_at DESC, id DESC LIMIT ${RATED_RUNS}
) AS r GROUP BY r.name, r.version ORDER BY count(*) DESC, r.name, r.version LIMIT 500`;
  },
};

type RateRow = [string, number, number, number, number, number, number | null, number | null, number, number[], number];

/**
 * Reads starts, ends and durations by workflow, of the runs that were created in the last hour.
 * Reads at most `RATED_RUNS` runs.
 *
 * @returns the rates, and true for `isComplete` when the limit left out no run
 */
export async function readWorkflowRates(database: Database): Promise<{ rates: WorkflowRate[]; isComplete: boolean }> {
  const rows = await database.query<RateRow>(RATES, []);
  const rates = rows.map(([name, version, started, completed, failed, cancelled, p50Ms, p95Ms, lastAt, parts]) => ({
    name,
    version,
    started,
    completed,
    failed,
    cancelled,
    p50Ms,
    p95Ms,
    lastAt,
    parts,
  }));
  return { rates, isComplete: (rows[0]?.[10] ?? 0) < RATED_RUNS };
}

const MANY_FAILED: Statement = {
  name: 'durable_many_failed',
  text: (schema) => `SELECT extract(epoch FROM finished_at)::float8 * 1000 FROM ${schema}.workflow_runs
WHERE status = 'failed' AND finished_at >= to_timestamp($1::float8 / 1000) ORDER BY finished_at DESC OFFSET $2::int LIMIT 1`,
};

/**
 * Returns the time after which at most `most` runs have failed, when more than that have failed
 * since a time; otherwise returns that time. Times are in milliseconds since the epoch. Reads the
 * index of failed runs.
 */
export async function sinceFailures(database: Database, since: number, most: number): Promise<number> {
  const [row] = await database.query<[number]>(MANY_FAILED, [since, most]);
  // The run at the limit is left out: other runs may have failed in its millisecond.
  return row === undefined ? since : Math.floor(row[0]) + 1;
}

const TRACE: Statement = {
  name: 'durable_trace_context',
  text: (schema) => `SELECT trace_context FROM ${schema}.workflow_runs WHERE id = $1`,
};

/** Returns the id of the trace in which a run was started; undefined when it was not traced. */
export async function readTraceId(database: Database, runId: string): Promise<string | undefined> {
  const [row] = await database.query<[string | null]>(TRACE, [runId]);
  return row?.[0]?.split('-')[1];
}
