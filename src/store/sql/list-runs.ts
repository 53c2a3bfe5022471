import type { ShownStatus } from '../../core/run.js';
import type { RunConditions } from '../../core/run-filter.js';
import type { Database } from '../database.js';
import { shownStatusSql } from './chains.js';
import { conditionsSql, Parameters } from './run-conditions.js';

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
 * Builds the query for one page of a listing. Its inner query selects the runs of the page, through
 * the index of `created_at` where that is best. So tags are read only for these runs. The query
 * returns the creation time as an integer. As a float, its text would lose a digit with
 * `extra_float_digits = 0`, and the next page would begin too early.
 */
function listSql(conditions: RunConditions, after: ListPosition | undefined, limit: number, schema: string): [string, Parameters] {
  const parameters = new Parameters();
  const matching = conditionsSql(conditions, parameters, schema);
  const older =
    after === undefined
      ? ''
      : `AND (r.created_at, r.id) < (timestamptz '1970-01-01 00:00:00+00' + ${parameters.add(after.createdAtMicros, 'float8')} * interval '1 microsecond', ${parameters.add(after.id, 'text')})`;
  const text = `SELECT (extract(epoch FROM p.created_at) * 1000000)::bigint::text, json_build_object(
  'id', p.id, 'name', p.name, 'version', p.version, 'queue', p.queue, 'priority', p.priority, 'status', ${shownStatusSql('p')},
  'createdAt', ${milliseconds('p.created_at')}, 'startedAt', ${milliseconds('p.started_at')}, 'finishedAt', ${milliseconds('p.finished_at')},
  'wakeAt', ${milliseconds('p.wake_at')}, 'cancelRequestedAt', ${milliseconds('p.cancel_requested_at')},
  'errorCode', p.error_code, 'failedStep', p.failed_step, 'parentRunId', p.parent_run_id, 'continuedAs', p.continued_as,
  'isBlocked', p.is_blocked AND p.status IN ('waiting', 'paused'),
  'tags', coalesce((SELECT json_object_agg(t.key, t.value) FROM ${schema}.workflow_tags t WHERE t.run_id = p.id), '{}')
)::text
FROM (
  SELECT r.id, r.name, r.version, r.queue, r.priority, r.status, r.created_at, r.started_at, r.finished_at, r.wake_at, r.cancel_requested_at, r.error_code,
    r.failed_step, r.parent_run_id, r.continued_as, r.is_blocked
  FROM ${schema}.workflow_runs r WHERE ${matching} ${older} ORDER BY r.created_at DESC, r.id DESC LIMIT ${parameters.add(limit, 'int')}
) AS p ORDER BY p.created_at DESC, p.id DESC`;
  return [text, parameters];
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
): Promise<{ row: RunSummaryRow; position: ListPosition }[]> {
  const [text, { values }] = listSql(conditions, after, limit, database.schema);
  const rows = await database.read<[string, string]>(text, values);
  return rows.map(([micros, fields]) => {
    const row = JSON.parse(fields) as RunSummaryRow;
    return { row, position: { createdAtMicros: Number(micros), id: row.id } };
  });
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
