import type { EntityManager } from 'typeorm';

import type { DispatchKey, NewRun, SharedStart } from '../../core/run.js';
import type { Database, Statement } from '../database.js';
import { CALLER_MARK } from './caller-mark.js';
import { hasMembersSql } from './orphaned-members.js';
import { decideSql, debouncedAt, IS_JOINING } from './shared-starts.js';

/** A run whose start shares its run with other starts. */
export type SharedRun = NewRun & { readonly shared: SharedStart };

/** SQL value for a missing number. NULL would not work with `array_nulls` off. */
const NONE = `'NaN'::float8`;

/**
 * Finds runs that count for starts with `throttle`, as the caller's transaction sees them. Locks
 * nothing.
 *
 * @returns ids of the runs that count, by the ids of the given runs
 */
export async function findThrottled(database: Database, manager: EntityManager, runs: readonly SharedRun[]): Promise<Map<string, string>> {
  const { schema } = database;
  const rows = await manager.query<{ id: string; run_id: string }[]>(
    `${CALLER_MARK} SELECT x.id, s.run_id FROM unnest($1::text[], $2::text[], $3::text[]) AS x(id, name, key)
CROSS JOIN LATERAL (
  SELECT p.run_id FROM ${schema}.workflow_shared_starts p
  WHERE p.kind = 'throttle' AND p.name = x.name AND p.key = x.key AND p.until > clock_timestamp() LIMIT 1
) AS s WHERE (SELECT true FROM ${schema}.workflow_runs WHERE id = s.run_id LIMIT 1)`,
    [runs.map(({ id }) => id), runs.map(({ name }) => name), runs.map(({ shared }) => shared.key)],
  );
  return new Map(rows.map(({ id, run_id: runId }) => [id, runId]));
}

/**
 * Records in the caller's transaction that these runs, which the transaction has just created, are
 * to be decided after its commit. Until then the runs wait without an end. Changes only rows of the
 * transaction itself, so that no other start waits for its commit.
 */
export async function requestStarts(database: Database, manager: EntityManager, runs: readonly SharedRun[]): Promise<void> {
  const { schema } = database;
  const numbers = (of: (run: SharedRun) => number | null): number[] => runs.map((run) => of(run) ?? Number.NaN);
  await manager.query(
    `${CALLER_MARK} WITH asked AS (
  INSERT INTO ${schema}.workflow_start_requests (run_id, kind, name, key, period_ms, max_wait_ms, nonce, due_at)
  SELECT x.id, x.kind, x.name, x.key, x.period_ms, nullif(x.max_wait_ms, ${NONE}), x.nonce,
    coalesce(clock_timestamp() + nullif(x.delay_ms, ${NONE}) * interval '1 millisecond', to_timestamp(nullif(x.start_at, ${NONE}) / 1000.0))
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::float8[], $6::float8[], $7::bigint[], $8::float8[], $9::float8[])
    WITH ORDINALITY AS x(id, kind, name, key, period_ms, max_wait_ms, nonce, delay_ms, start_at, place) ORDER BY x.place
)
UPDATE ${schema}.workflow_runs SET wake_at = NULL, chain_nonce = start_nonce WHERE id = ANY ($1::text[])`,
    [
      runs.map(({ id }) => id),
      runs.map(({ shared }) => shared.kind),
      runs.map(({ name }) => name),
      runs.map(({ shared }) => shared.key),
      runs.map(({ shared }) => shared.periodMs),
      numbers(({ shared }) => shared.maxWaitMs),
      runs.map(({ nonce }) => nonce),
      numbers(({ delayMs }) => delayMs),
      numbers(({ startAt }) => startAt),
    ],
  );
}

const BATCH_KEYS = 100;

/** Condition for a run that waits for its request to be decided (columns of the run). */
const IS_ASKED = `status = 'waiting' AND wake_at IS NULL AND ready_at IS NULL AND epoch = 0`;

const COLUMNS = `q.kind, q.key, q.period_ms, q.max_wait_ms, q.due_at, q.nonce, false AS is_given, r.id, r.name, r.version, r.queue, r.priority, r.input,
  r.deployment_id, r.timeout_ms, r.trace_context, r.queue_key`;

/**
 * Decides the oldest request of each key, as if its start were made now. A run for which another
 * run counts ends as continued by that run, so that its handle finds the result.
 */
const DECIDE: Statement = {
  name: 'durable_decide_starts',
  text: (schema, lockTimeout) => {
    const decide = decideSql(
      schema,
      `SELECT ${COLUMNS} FROM asked q CROSS JOIN LATERAL (
    SELECT * FROM ${schema}.workflow_runs WHERE id = q.run_id AND start_nonce = q.nonce AND ${IS_ASKED} LIMIT 1
  ) AS r ORDER BY q.kind, q.name, q.key`,
      { condition: IS_ASKED },
    );
    const started = `
  UPDATE ${schema}.workflow_runs r SET wake_at = due.at, deadline_at = due.at + r.timeout_ms * interval '1 millisecond'
  FROM shared_verdicts x
  CROSS JOIN LATERAL (SELECT CASE WHEN x.kind = 'debounce' THEN ${debouncedAt('now()')} ELSE coalesce(x.due_at, now()) END AS at) AS due
  WHERE r.id = ANY (ARRAY[x.id]) AND x.verdict = 'new' AND (x.held_id IS NOT NULL OR (x.id IN (SELECT run_id FROM new_keys)) IS TRUE)
  RETURNING r.id, r.wake_at`;
    const { shared, shared_open, shared_verdicts, new_keys, changed_keys, joined_runs, shared_results } = decide;
    const parts = Object.entries({
      asked: `
  SELECT q.* FROM ${schema}.workflow_start_requests q WHERE NOT EXISTS (
    SELECT 1 FROM ${schema}.workflow_start_requests e WHERE e.kind = q.kind AND e.name = q.name AND e.key = q.key AND e.id < q.id
  ) ORDER BY q.kind, q.name, q.key LIMIT ${BATCH_KEYS} FOR UPDATE SKIP LOCKED`,
      shared,
      shared_open,
      shared_verdicts,
      new_keys,
      shared_starts: started,
      changed_keys,
      joined_runs,
      joined_tags: `
  INSERT INTO ${schema}.workflow_tags (run_id, key, value)
  SELECT x.held_id, t.key, t.value FROM shared_verdicts x
  CROSS JOIN LATERAL (SELECT key, value FROM ${schema}.workflow_tags WHERE run_id = x.id OFFSET 0) AS t WHERE ${IS_JOINING}
  ON CONFLICT (run_id, key) DO UPDATE SET value = excluded.value
  RETURNING 1`,
      continued: `
  UPDATE ${schema}.workflow_runs r SET status = 'completed', finished_at = now(), continued_as = x.held_id, chain_nonce = x.held_chain
  FROM shared_verdicts x WHERE r.id = ANY (ARRAY[x.id]) AND x.verdict = 'joined'
  RETURNING r.id`,
      decided: `
  DELETE FROM ${schema}.workflow_start_requests q USING asked WHERE q.run_id = ANY (ARRAY[asked.run_id])
    AND ((asked.run_id IN (SELECT id FROM shared_starts)) IS TRUE OR (asked.run_id IN (SELECT id FROM continued)) IS TRUE
      OR (asked.run_id IN (SELECT id FROM shared_verdicts WHERE verdict <> 'gone')) IS NOT TRUE)
  RETURNING 1`,
      shared_results,
    }).map(([name, sql]) => `${name} AS ${/^\s*SELECT/.test(sql!) ? 'MATERIALIZED ' : ''}(${sql}\n)`);
    return `WITH ${parts.join(',\n')}
SELECT (SELECT count(*) FROM asked)::int, r.run_id, x.queue, x.name, x.version,
  extract(epoch FROM coalesce((SELECT wake_at FROM shared_starts s WHERE s.id = x.id), r.due_at))::float8 * 1000
FROM (SELECT 1) AS one LEFT JOIN (shared_results r JOIN shared_verdicts x ON x.id = r.id) ON true${lockTimeout && ` WHERE true${lockTimeout}`}`;
  },
};

type DecidedRow = [asked: number, runId: string | null, queue: string, name: string, version: number, wakeAt: number | null];

/** A run that counts for a decided request. `wakeAt` is its new due time; null when not earlier. */
export interface DecidedStart extends DispatchKey {
  readonly runId: string;
  readonly wakeAt: number | null;
}

/**
 * Decides starts that committed transactions have requested, at most one for each key.
 *
 * @returns the runs that count; undefined when there was no request
 */
export async function decideStarts(database: Database): Promise<DecidedStart[] | undefined> {
  const rows = await database.query<DecidedRow>(DECIDE, []);
  if (rows[0]![0] === 0) return undefined;
  return rows.flatMap(([, runId, queue, name, version, wakeAt]) => (runId === null ? [] : [{ runId, queue, name, version, wakeAt }]));
}

/**
 * Builds a condition that is true when a start waits for its decision, when a key no longer counts,
 * or when a member waits for its batch. Each part reads one entry of an index.
 */
export function hasSharedWorkSql(schema: string): string {
  return `((SELECT true FROM ${schema}.workflow_start_requests ORDER BY run_id LIMIT 1)
  OR ${hasMembersSql(schema)}
  OR (SELECT until < now() - interval '1 hour' FROM ${schema}.workflow_shared_starts ORDER BY until LIMIT 1))`;
}

const FORGET: Statement = {
  name: 'durable_forget_shared_starts',
  text: (schema) => `DELETE FROM ${schema}.workflow_shared_starts s USING (
  SELECT kind, name, key FROM ${schema}.workflow_shared_starts WHERE until < now() - interval '1 hour' ORDER BY until LIMIT $1::int FOR UPDATE SKIP LOCKED
) AS old WHERE s.kind = ANY (ARRAY[old.kind]) AND s.name = ANY (ARRAY[old.name]) AND s.key = ANY (ARRAY[old.key]) RETURNING 1`,
};

/**
 * Deletes keys whose last start counted until an hour ago, at most `limit` of them. Returns their
 * number.
 */
export async function forgetSharedStarts(database: Database, limit: number): Promise<number> {
  return (await database.query<[number]>(FORGET, [limit])).length;
}
