import type { ShownStatus } from '../../core/run.js';
import type { RunConditions } from '../../core/run-filter.js';
import type { Database } from '../database.js';
import { shownStatusSql } from './chains.js';
import { conditionsSql, Parameters } from './run-conditions.js';

/** A run as a reader who follows changes sees it. Times are milliseconds since the epoch. */
export interface TailedRun {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly queue: string;
  readonly status: ShownStatus;
  readonly isBlocked: boolean;
  readonly createdAt: number;
  /** Creation time in microseconds, which identifies the run's place exactly. */
  readonly createdAtMicros: number;
  readonly finishedAt: number | null;
  readonly errorCode: string | null;
  readonly failedStep: string | null;
}

type Row = [string, string, number, string, ShownStatus, boolean, string, number | null, string | null, string | null];

const milliseconds = (column: string): string => `extract(epoch FROM ${column})::float8 * 1000`;

const COLUMNS = `r.id, r.name, r.version, r.queue, ${shownStatusSql('r')}, r.is_blocked AND r.status IN ('waiting', 'paused'),
  (extract(epoch FROM r.created_at) * 1000000)::bigint::text, ${milliseconds('r.finished_at')}, r.error_code, r.failed_step`;

/** Place in the order of a read: a time in microseconds since the epoch, and the id of a run. */
export interface TailPosition {
  readonly micros: number;
  readonly id: string;
}

/**
 * Reads runs that were created at `from` or later, oldest first, through the index of `created_at`.
 *
 * @throws QueryTimeoutError when the query takes too long
 */
export async function readCreatedSince(
  database: Database,
  conditions: RunConditions,
  from: TailPosition,
  limit: number,
): Promise<TailedRun[]> {
  return readTailed(database, conditions, 'created_at', 'true', from, limit);
}

/**
 * Reads runs that failed at `from` or later, oldest failure first, through the index of failed
 * runs.
 *
 * @throws QueryTimeoutError when the query takes too long
 */
export async function readFailedSince(
  database: Database,
  conditions: RunConditions,
  from: TailPosition,
  limit: number,
): Promise<TailedRun[]> {
  return readTailed(database, conditions, 'finished_at', `r.status = 'failed'`, from, limit);
}

async function readTailed(
  database: Database,
  conditions: RunConditions,
  column: 'created_at' | 'finished_at',
  condition: string,
  { micros, id }: TailPosition,
  limit: number,
): Promise<TailedRun[]> {
  const parameters = new Parameters();
  const matching = conditionsSql(conditions, parameters, database.schema);
  const from = `timestamptz '1970-01-01 00:00:00+00' + ${parameters.add(micros, 'float8')} * interval '1 microsecond'`;
  const rows = await database.read<Row>(
    `SELECT ${COLUMNS} FROM ${database.schema}.workflow_runs r
WHERE ${condition} AND (r.${column}, r.id) > (${from}, ${parameters.add(id, 'text')}) AND ${matching}
ORDER BY r.${column}, r.id LIMIT ${parameters.add(limit, 'int')}`,
    parameters.values,
  );
  return rows.map(toTailed);
}

/**
 * Reads the current state of runs by their ids. Runs that do not exist are left out.
 *
 * @throws QueryTimeoutError when the query takes too long
 */
export async function readTailedRuns(database: Database, ids: readonly string[]): Promise<TailedRun[]> {
  const rows = await database.read<Row>(`SELECT ${COLUMNS} FROM ${database.schema}.workflow_runs r WHERE r.id = ANY ($1::text[])`, [ids]);
  return rows.map(toTailed);
}

function toTailed([id, name, version, queue, status, isBlocked, micros, finishedAt, errorCode, failedStep]: Row): TailedRun {
  const createdAtMicros = Number(micros);
  return {
    id,
    name,
    version,
    queue,
    status,
    isBlocked,
    createdAt: createdAtMicros / 1_000,
    createdAtMicros,
    finishedAt,
    errorCode,
    failedStep,
  };
}
