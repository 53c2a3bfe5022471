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
 * SQL that deletes the events of deleted runs for which listeners were not called yet. SKIP LOCKED
 * prevents deadlocks with the statements that deliver events, which lock them in another order. A
 * locked event is being delivered or removed at that moment.
 */
const deleteEvents = (schema: string): string => `, waiting AS MATERIALIZED (
  SELECT e.run_id, e.id FROM doomed CROSS JOIN LATERAL (
    SELECT run_id, id FROM ${schema}.workflow_run_events WHERE run_id = doomed.id FOR UPDATE SKIP LOCKED
  ) AS e
), events AS (
  DELETE FROM ${schema}.workflow_run_events e USING waiting WHERE e.run_id = ANY (ARRAY[waiting.run_id]) AND e.id = ANY (ARRAY[waiting.id])
)`;

/**
 * SQL that keeps the events of deleted runs, and stores the tags of the runs in the events for the
 * listeners. Skips a locked event, because the delivery that holds the lock reads the tags itself.
 */
const keepEvents = (schema: string): string => `, waiting AS MATERIALIZED (
  SELECT e.run_id, e.id FROM doomed CROSS JOIN LATERAL (
    SELECT run_id, id FROM ${schema}.workflow_run_events
    WHERE run_id = doomed.id AND tags IS NULL AND (facts ->> 'nonce')::bigint = doomed.start_nonce FOR UPDATE SKIP LOCKED
  ) AS e
), events AS (
  UPDATE ${schema}.workflow_run_events e SET tags = (
    SELECT json_object_agg(t.key, t.value) FROM ${schema}.workflow_tags t WHERE t.run_id = waiting.run_id
  ) FROM waiting WHERE e.run_id = ANY (ARRAY[waiting.run_id]) AND e.id = ANY (ARRAY[waiting.id])
)`;

/**
 * Deletes ended runs with their rows in all tables. Locks the runs in the order of their ids. A run
 * is left out when it has been retried, or deleted and started again, since the caller read it.
 */
const deleteStatement = (name: string, lock: 'NOWAIT' | 'SKIP LOCKED', events: 'delete events' | 'keep events'): Statement => ({
  name,
  text: (schema, lockTimeout) => {
    const rows = RUN_TABLES.map(
      (table) => `, ${table} AS (\n  DELETE FROM ${schema}.${table} t USING doomed WHERE t.run_id = ANY (ARRAY[doomed.id]) RETURNING 1\n)`,
    );
    return `WITH doomed AS MATERIALIZED (
  SELECT r.id, r.start_nonce FROM (
    SELECT * FROM unnest((SELECT $1::text[]), (SELECT $2::bigint[]), (SELECT $3::int[])) AS given(id, nonce, epoch) ORDER BY id
  ) AS x CROSS JOIN LATERAL (
    SELECT id, start_nonce FROM ${schema}.workflow_runs WHERE id = x.id AND start_nonce = x.nonce AND epoch = x.epoch AND ${IS_SETTLED} LIMIT 1 FOR UPDATE ${lock}
  ) AS r
)${rows.join('')}${(events === 'delete events' ? deleteEvents : keepEvents)(schema)}, runs AS (
  DELETE FROM ${schema}.workflow_runs r USING doomed WHERE r.id = ANY (ARRAY[doomed.id]) RETURNING r.id
)
SELECT id FROM runs WHERE true${lockTimeout}`;
  },
});

const DELETE_OR_FAIL = deleteStatement('durable_delete_runs', 'NOWAIT', 'delete events');
const DELETE_UNLOCKED = deleteStatement('durable_delete_unlocked_runs', 'SKIP LOCKED', 'delete events');
const EXPIRE = deleteStatement('durable_expire_runs', 'SKIP LOCKED', 'keep events');

/** Name of the change in `UnwritableRuns`. */
export const DELETION = EXPIRE.name;

/** Values of the parameters of a statement that deletes runs. */
const valuesOf = (runs: readonly EndedLife[]): unknown[] => [
  runs.map(({ id }) => id),
  runs.map(({ nonce }) => nonce),
  runs.map(({ epoch }) => epoch),
];

/**
 * Deletes ended runs, with the events that wait for a listener. Returns the ids of the deleted
 * runs. Children stay.
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
  const statement = whereLocked === 'fail' ? DELETE_OR_FAIL : DELETE_UNLOCKED;
  return (await database.query<[string]>(statement, valuesOf(runs), client)).map(([id]) => id);
}

/**
 * Deletes ended runs whose retention has passed, and leaves out locked ones. Returns the ids of the
 * deleted runs. Children stay, and so do events that wait for a listener: a short retention must
 * not lose a `run.completed` that no listener has received yet.
 */
export async function expireRuns(database: Database, runs: readonly EndedLife[]): Promise<string[]> {
  return (await database.query<[string]>(EXPIRE, valuesOf(runs))).map(([id]) => id);
}
