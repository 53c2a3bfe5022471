import type { ClientBase } from 'pg';

import type { Database, Statement } from '../database.js';
import { RUN_TABLES } from './leftovers.js';
import { TERMINAL } from './run-status.js';

/** Identifies one life of an ended run: after a retry, or under a reused id, the run is another. */
export interface EndedLife {
  readonly id: string;
  /** The `start_nonce` of the run. */
  readonly nonce: string;
  readonly epoch: number;
}

/**
 * Condition for a run that ended long enough ago. `terminate` does not wait for the run's worker. A
 * flush that this worker has begun may still insert results for a moment. If the run were deleted
 * in that moment, a new run with the same id would get these results.
 */
const IS_SETTLED = `status IN ${TERMINAL} AND NOT (status = 'cancelled' AND finished_at > now() - interval '1 second')`;

/**
 * Deletes ended runs with their rows in all tables. Locks the runs in the order of their ids. A run
 * is left out when it has been retried, or deleted and started again, since the caller read it.
 */
const deleteStatement = (name: string, lock: 'NOWAIT' | 'SKIP LOCKED'): Statement => ({
  name,
  text: (schema, lockTimeout) => {
    const rows = RUN_TABLES.map(
      (table) => `, ${table} AS (\n  DELETE FROM ${schema}.${table} t USING doomed WHERE t.run_id = ANY (ARRAY[doomed.id]) RETURNING 1\n)`,
    );
    return `WITH doomed AS MATERIALIZED (
  SELECT r.id FROM (
    SELECT * FROM unnest((SELECT $1::text[]), (SELECT $2::bigint[]), (SELECT $3::int[])) AS given(id, nonce, epoch) ORDER BY id
  ) AS x CROSS JOIN LATERAL (
    SELECT id FROM ${schema}.workflow_runs WHERE id = x.id AND start_nonce = x.nonce AND epoch = x.epoch AND ${IS_SETTLED} LIMIT 1 FOR UPDATE ${lock}
  ) AS r
)${rows.join('')}, runs AS (
  DELETE FROM ${schema}.workflow_runs r USING doomed WHERE r.id = ANY (ARRAY[doomed.id]) RETURNING r.id
)
SELECT id FROM runs WHERE true${lockTimeout}`;
  },
});

const DELETE_OR_FAIL = deleteStatement('durable_delete_runs', 'NOWAIT');
const DELETE_UNLOCKED = deleteStatement('durable_delete_unlocked_runs', 'SKIP LOCKED');

/** Name of the change in `UnwritableRuns`. */
export const DELETION = DELETE_UNLOCKED.name;

/**
 * Deletes ended runs, and returns the ids of the deleted ones. Children stay.
 *
 * @param whereLocked reaction to a run whose row is locked; the statement never waits for the lock
 * @throws the lock error of the database when a row is locked and `whereLocked` is `fail`
 */
export async function deleteRuns(
  database: Database,
  runs: readonly EndedLife[],
  whereLocked: 'fail' | 'leave out',
  client?: ClientBase,
): Promise<string[]> {
  const values = [runs.map(({ id }) => id), runs.map(({ nonce }) => nonce), runs.map(({ epoch }) => epoch)];
  const statement = whereLocked === 'fail' ? DELETE_OR_FAIL : DELETE_UNLOCKED;
  return (await database.query<[string]>(statement, values, client)).map(([id]) => id);
}
