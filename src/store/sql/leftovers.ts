import type { ClientBase } from 'pg';
import type { EntityManager } from 'typeorm';

import type { Database, Statement } from '../database.js';
import { CALLER_MARK } from './caller-mark.js';

/**
 * Tables whose rows belong to the run in their `run_id`, in the order in which every statement locks
 * them. Deleting a run by hand may leave any of them behind, because no foreign key removes them.
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
] as const;

/**
 * A condition that is true when nothing is left of an earlier run of that id. Scalar subqueries with
 * LIMIT leave the planner one way, an index lookup in each table: it turns EXISTS into a hash of
 * the whole table where that looks cheaper.
 *
 * @param id of a row of the statement around it
 */
export function nothingLeftSql(schema: string, id: string): string {
  const rows = RUN_TABLES.map((table) => `(SELECT true FROM ${schema}.${table} WHERE run_id = ${id} LIMIT 1) IS NULL`);
  // A child of the earlier run would report its end to the new one.
  return [...rows, `(SELECT true FROM ${schema}.workflow_runs WHERE parent_run_id = ${id} LIMIT 1) IS NULL`].join('\n    AND ');
}

/**
 * Removes rows of runs that do not exist, and makes their children nobody's. Looking for the run and
 * deleting share one snapshot: rows that a run of that id writes once it exists are newer, and stay.
 */
function clearSql(schema: string, patience: string): string {
  const deletes = RUN_TABLES.map(
    (table) => `, ${table} AS (\n  DELETE FROM ${schema}.${table} t USING gone WHERE t.run_id = ANY (ARRAY[gone.id]) RETURNING 1\n)`,
  );
  return `WITH gone AS MATERIALIZED (
  SELECT DISTINCT x.id FROM unnest((SELECT $1::text[])) AS x(id) WHERE (SELECT true FROM ${schema}.workflow_runs WHERE id = x.id LIMIT 1) IS NULL ORDER BY x.id
), children AS MATERIALIZED (
  SELECT r.id FROM (
    SELECT c.id FROM gone CROSS JOIN LATERAL (SELECT id FROM ${schema}.workflow_runs WHERE parent_run_id = gone.id OFFSET 0) AS c ORDER BY c.id
  ) AS c CROSS JOIN LATERAL (SELECT id FROM ${schema}.workflow_runs WHERE id = c.id LIMIT 1 FOR NO KEY UPDATE) AS r
), orphans AS (
  UPDATE ${schema}.workflow_runs r SET parent_run_id = NULL, parent_step_key = NULL FROM children WHERE r.id = ANY (ARRAY[children.id]) RETURNING 1
)${deletes.join('')}
SELECT ${['orphans', ...RUN_TABLES].map((part) => `(SELECT count(*) FROM ${part})`).join(' + ')} AS cleared WHERE true${patience}`;
}

const CLEAR: Statement = { name: 'durable_clear_leftovers', text: clearSql };

/** Removes what earlier runs of these ids have left. Ids of runs that exist are left alone. */
export async function clearLeftovers(database: Database, ids: readonly string[], client?: ClientBase): Promise<void> {
  await database.query(CLEAR, [ids], client);
}

/** Does the same in a transaction of the caller, which may have deleted the runs itself. */
export async function clearLeftoversIn(database: Database, manager: EntityManager, ids: readonly string[]): Promise<void> {
  await manager.query(`${CALLER_MARK} ${clearSql(database.schema, '')}`, [ids]);
}

/** The first of these ids that has rows left of an earlier run, as a transaction of the caller sees them. */
export async function findLeftoversIn(database: Database, manager: EntityManager, ids: readonly string[]): Promise<string | undefined> {
  const text = `SELECT x.id FROM unnest($1::text[]) AS x(id)
  WHERE (SELECT true FROM ${database.schema}.workflow_runs WHERE id = x.id LIMIT 1) IS NULL
    AND NOT (${nothingLeftSql(database.schema, 'x.id')}) ORDER BY x.id LIMIT 1`;
  const [row] = await manager.query<{ id: string }[]>(text, [ids]);
  return row?.id;
}
