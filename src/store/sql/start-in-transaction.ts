import type { EntityManager } from 'typeorm';

import type { NewRun } from '../../core/run.js';
import type { Database } from '../database.js';
import { CALLER_MARK } from './caller-mark.js';
import { nothingLeftSql } from './leftovers.js';
import { placeSql } from './places.js';

const FIXED_SNAPSHOT = `current_setting('transaction_isolation') IN ('repeatable read', 'serializable')`;

/**
 * SQL value for a missing number. NULL would not work: on a caller's connection with `array_nulls`
 * off, PostgreSQL reads NULL in an array as the text "NULL".
 */
const NONE = `'NaN'::float8`;

const nullable = (column: string, absent: string): string => `nullif(${column}, ${absent}) AS ${column}`;

/**
 * Builds SQL that inserts runs in the caller's transaction. It locks no existing row, so the
 * transaction may stay open as long as the caller needs. Like every statement in a caller's
 * transaction, it returns only text. The type parsers of the application's connection may return
 * anything for numbers, booleans and arrays.
 *
 * @param ids `given` when a deleted run may have had one of the ids; a run is not inserted while
 * rows of the deleted run remain
 */
function insertSql(schema: string, ids: 'given' | 'generated'): string {
  return `${CALLER_MARK} WITH started AS (
  INSERT INTO ${schema}.workflow_runs (id, name, version, queue, priority, input, start_nonce, deployment_id, created_at, status, ready_at, wake_at, deadline_at,
    timeout_ms, trace_context, queue_key, place, schedule, due_at)
  SELECT x.id, x.name, x.version, x.queue, x.priority, x.input, x.nonce, x.deployment_id, clock_timestamp(),
    CASE WHEN due.at > clock_timestamp() THEN 'waiting' ELSE 'pending' END,
    CASE WHEN due.at > clock_timestamp() THEN NULL ELSE clock_timestamp() END,
    CASE WHEN due.at > clock_timestamp() THEN due.at END,
    coalesce(due.at, clock_timestamp()) + x.timeout_ms * interval '1 millisecond', x.timeout_ms, x.trace_context, x.queue_key, ${placeSql(schema, 'x.queue')},
    x.schedule, to_timestamp(x.due_at / 1000.0)
  FROM (SELECT id, name, version, queue, priority, input, nonce, ${nullable('deployment_id', "''")}, ${nullable('delay_ms', NONE)},
      ${nullable('start_at', NONE)}, ${nullable('timeout_ms', NONE)}, ${nullable('trace_context', "''")},
      ${nullable('queue_key', "''")}, ${nullable('schedule', "''")}, ${nullable('due_at', NONE)}
    FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::smallint[], $6::json[], $7::float8[], $8::float8[], $9::bigint[], $10::text[], $15::float8[],
      $16::text[], $17::text[], $18::text[], $19::float8[]) AS given(id, name, version, queue, priority, input, delay_ms, start_at, nonce, deployment_id,
      timeout_ms, trace_context, queue_key, schedule, due_at)) AS x
  CROSS JOIN LATERAL (SELECT coalesce(clock_timestamp() + x.delay_ms * interval '1 millisecond', to_timestamp(x.start_at / 1000.0)) AS at) AS due
  WHERE ($14::boolean OR NOT ${FIXED_SNAPSHOT})${ids === 'given' ? `\n    AND ${nothingLeftSql(schema, 'x.id')}` : ''}
  ON CONFLICT (id) DO NOTHING
  RETURNING id
), tagged AS (
  INSERT INTO ${schema}.workflow_tags (run_id, key, value)
  SELECT x.run_id, x.key, x.value FROM unnest($11::text[], $12::text[], $13::text[]) AS x(run_id, key, value) WHERE x.run_id IN (SELECT id FROM started)
)
SELECT (SELECT coalesce(json_agg(id), '[]') FROM started)::text AS started,
  CASE WHEN NOT $14::boolean AND ${FIXED_SNAPSHOT} THEN 'all' ELSE 'none' END AS withheld`;
}

/**
 * Creates runs in the caller's transaction. If another open transaction has created a run with one
 * of the ids, waits until that transaction ends.
 *
 * @param mode `'unlessSnapshot'` creates no run when the transaction is REPEATABLE READ or
 * SERIALIZABLE, where a run that was committed later than the snapshot would abort the transaction
 * @returns the ids of the new runs; `withheld` is true when `mode` prevented the creation
 */
export async function startInTransaction(
  database: Database,
  manager: EntityManager,
  runs: readonly NewRun[],
  ids: 'given' | 'generated',
  mode: 'always' | 'unlessSnapshot',
): Promise<{ started: readonly string[]; withheld: boolean }> {
  const column = <K extends keyof NewRun>(key: K): NewRun[K][] => runs.map((run) => run[key]);
  const numbers = (key: 'delayMs' | 'startAt' | 'timeoutMs'): number[] => runs.map((run) => run[key] ?? Number.NaN);
  const tags = runs.flatMap((run) => Object.entries(run.tags).map(([key, value]) => [run.id, key, value] as const));
  const [outcome] = await manager.query<{ started: string; withheld: string }[]>(insertSql(database.schema, ids), [
    column('id'),
    column('name'),
    column('version'),
    column('queue'),
    column('priority'),
    column('input'),
    numbers('delayMs'),
    numbers('startAt'),
    column('nonce'),
    runs.map(({ deploymentId }) => deploymentId ?? ''),
    tags.map(([id]) => id),
    tags.map(([, key]) => key),
    tags.map(([, , value]) => value),
    mode === 'always',
    numbers('timeoutMs'),
    runs.map(({ traceContext }) => traceContext ?? ''),
    runs.map(({ queueKey }) => queueKey ?? ''),
    runs.map(({ schedule }) => schedule?.name ?? ''),
    runs.map(({ schedule }) => schedule?.dueAt ?? Number.NaN),
  ]);
  return { started: JSON.parse(outcome!.started) as string[], withheld: outcome!.withheld === 'all' };
}

/** Reads the workflow names of runs, as the caller's transaction sees them. */
export async function findInTransaction(database: Database, manager: EntityManager, ids: readonly string[]): Promise<Map<string, string>> {
  const rows = await manager.query<{ id: string; name: string }[]>(
    `SELECT id, name FROM ${database.schema}.workflow_runs WHERE id = ANY ($1::text[])`,
    [ids],
  );
  return new Map(rows.map(({ id, name }) => [id, name]));
}
