import type { ClientBase } from 'pg';
import type { EntityManager } from 'typeorm';

import type { Database, Statement } from '../database.js';
import { CALLER_MARK } from './caller-mark.js';

/**
 * Tables whose rows have the id of a run in `run_id`, in the order in which every statement locks
 * their rows. No foreign key removes the rows, so they may remain when somebody deletes a run by
 * hand.
 */
export const RUN_TABLES = [
  'workflow_steps',
  'workflow_waits',
  'workflow_state',
  'workflow_tags',
  'workflow_run_log',
  'workflow_inbox',
  'workflow_hooks',
  'workflow_outbox',
  'workflow_stream_chunks',
  'workflow_event_receipts',
] as const;

/**
 * Builds a condition that is true when no rows of an earlier run with this id exist. Scalar
 * subqueries with LIMIT force an index lookup in each table. With EXISTS, the planner would read
 * and hash a whole table if it estimated that to be cheaper.
 *
 * @param id SQL expression of the id
 */
export function nothingLeftSql(schema: string, id: string): string {
  const rows = RUN_TABLES.map((table) => `(SELECT true FROM ${schema}.${table} WHERE run_id = ${id} LIMIT 1) IS NULL`);
  // A child of the earlier run names its parent by this id, and would report its end to the new
  // run.
  return [...rows, `(SELECT true FROM ${schema}.workflow_runs WHERE parent_run_id = ${id} LIMIT 1) IS NULL`].join('\n    AND ');
}

/**
 * Builds SQL that deletes the rows of runs that do not exist, and detaches the children of these
 * runs. The check that a run is missing and the deletion share one snapshot. If a new run with this
 * id starts meanwhile, its rows are newer than the snapshot, and stay.
 */
function clearSql(schema: string, lockTimeout: string): string {
  const deletes = RUN_TABLES.map(
    (table) => `, ${table} AS (\n  DELETE FROM ${schema}.${table} t USING missing WHERE t.run_id = ANY (ARRAY[missing.id]) RETURNING 1\n)`,
  );
  return `WITH missing AS MATERIALIZED (
  SELECT DISTINCT x.id FROM unnest((SELECT $1::text[])) AS x(id) WHERE (SELECT true FROM ${schema}.workflow_runs WHERE id = x.id LIMIT 1) IS NULL ORDER BY x.id
), children AS MATERIALIZED (
  SELECT r.id FROM (
    SELECT c.id FROM missing CROSS JOIN LATERAL (SELECT id FROM ${schema}.workflow_runs WHERE parent_run_id = missing.id OFFSET 0) AS c ORDER BY c.id
  ) AS c CROSS JOIN LATERAL (SELECT id FROM ${schema}.workflow_runs WHERE id = c.id LIMIT 1 FOR NO KEY UPDATE) AS r
), orphans AS (
  UPDATE ${schema}.workflow_runs r SET parent_run_id = NULL, parent_step_key = NULL FROM children WHERE r.id = ANY (ARRAY[children.id]) RETURNING 1
)${deletes.join('')}
SELECT ${['orphans', ...RUN_TABLES].map((part) => `(SELECT count(*) FROM ${part})`).join(' + ')} AS cleared WHERE true${lockTimeout}`;
}

const CLEAR: Statement = { name: 'durable_clear_leftovers', text: clearSql };

/**
 * Deletes the rows that deleted runs with these ids have left. Ids of existing runs are ignored.
 */
export async function clearLeftovers(database: Database, ids: readonly string[], client?: ClientBase): Promise<void> {
  await database.query(CLEAR, [ids], client);
}

/**
 * Deletes the rows that deleted runs with these ids have left, in the caller's transaction. The
 * transaction may have deleted the runs itself.
 */
export async function clearLeftoversIn(database: Database, manager: EntityManager, ids: readonly string[]): Promise<void> {
  await manager.query(`${CALLER_MARK} ${clearSql(database.schema, '')}`, [ids]);
}

/**
 * Finds the first of these ids that has no run but still has rows of a deleted run. Reads what the
 * caller's transaction sees.
 */
export async function findLeftoversIn(database: Database, manager: EntityManager, ids: readonly string[]): Promise<string | undefined> {
  const text = `SELECT x.id FROM unnest($1::text[]) AS x(id)
  WHERE (SELECT true FROM ${database.schema}.workflow_runs WHERE id = x.id LIMIT 1) IS NULL
    AND NOT (${nothingLeftSql(database.schema, 'x.id')}) ORDER BY x.id LIMIT 1`;
  const [row] = await manager.query<{ id: string }[]>(text, [ids]);
  return row?.id;
}
