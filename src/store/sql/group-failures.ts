import type { FailureDimension } from '../../core/failure.js';
import type { Database } from '../database.js';
import { conditionsSql, Parameters } from './run-conditions.js';

/** Expressions by which failures can be grouped. An hour is the time of its beginning, in UTC. */
const COLUMNS = {
  workflow: 'r.name',
  version: 'r.version::text',
  errorCode: 'r.error_code',
  failedStep: 'r.failed_step',
  hour: `(extract(epoch FROM date_trunc('hour', r.finished_at, 'UTC'))::float8 * 1000)::bigint::text`,
} as const;

export const FAILURE_DIMENSIONS = Object.keys(COLUMNS) as FailureDimension[];

/**
 * A group of failed runs with the same workflow, version, error code, failed step or hour of the
 * failure. Times are in milliseconds since the epoch.
 */
export interface FailureGroupRow {
  readonly keys: Readonly<Partial<Record<FailureDimension, string | null>>>;
  readonly count: number;
  readonly firstAt: number;
  readonly lastAt: number;
  readonly exampleRunId: string;
}

const milliseconds = (value: string): string => `extract(epoch FROM ${value})::float8 * 1000`;

/**
 * Groups the runs that have failed since a given time. Returns at most `limit` groups, largest
 * first.
 *
 * @param since milliseconds since the epoch
 * @throws QueryTimeoutError when the query takes too long
 */
export async function groupFailures(
  database: Database,
  since: number,
  by: readonly FailureDimension[],
  limit: number,
): Promise<FailureGroupRow[]> {
  const parameters = new Parameters();
  const matching = conditionsSql({ status: ['failed'], finishedAfter: since }, parameters, database.schema);
  const columns = by.map((dimension) => COLUMNS[dimension]).join(', ');
  // The example is the run with the highest id. Generated ids rise with time, so this is the latest
  // run. Selecting the latest run by time would sort every group.
  const text = `SELECT count(*)::float8, ${milliseconds('min(r.finished_at)')}, ${milliseconds('max(r.finished_at)')}, max(r.id), ${columns}
FROM ${database.schema}.workflow_runs r WHERE ${matching}
GROUP BY ${columns} ORDER BY count(*) DESC, max(r.finished_at) DESC, max(r.id) DESC LIMIT ${parameters.add(limit, 'int')}`;
  const rows = await database.read<[number, number, number, string, ...(string | null)[]]>(text, parameters.values);
  return rows.map(([count, firstAt, lastAt, exampleRunId, ...keys]) => ({
    keys: Object.fromEntries(by.map((dimension, index) => [dimension, keys[index] ?? null])),
    count,
    firstAt,
    lastAt,
    exampleRunId,
  }));
}
