import { UNSEALED_BATCH } from '../../core/batch.js';
import type { Section } from './flush-section.js';
import { nothingLeftSql } from './leftovers.js';
import { placeSql } from './places.js';

/** Condition for a batch that takes further members (columns of the run). */
const IS_COLLECTING = `status = 'waiting' AND wake_at > now() AND epoch = 0 AND NOT is_blocked`;

/** SQL of the list of members that have a place in a batch. */
const PLACED = `(SELECT p.* FROM batch_places p WHERE NOT p.is_again
    AND (p.held_id IS NOT NULL OR (p.name || E'\\n' || p.key IN (SELECT name || E'\\n' || key FROM new_batches)) IS TRUE))`;

/**
 * Inserts members of batches, which wait until their batch ends. Gives each member the next place
 * in the batch that is being collected under its key, and opens batches for members that find no
 * place.
 *
 * As in `shared-starts.ts`, the keys are locked first and then the runs of the batches. A member
 * gets no place (`again`) when its key names a batch that this statement cannot see.
 */
export const batchMembers: Section = {
  key: 'batchMembers',
  before: (schema, rows) => ({
    batch_given: `
  SELECT x.*, CASE
    WHEN (SELECT true FROM ${schema}.workflow_runs WHERE id = x.id LIMIT 1) THEN 'exists'
    WHEN x.is_given AND NOT (${nothingLeftSql(schema, 'x.id')}) THEN 'withheld'
    ELSE 'new' END AS verdict
  FROM (SELECT x.*, row_number() OVER () AS ord FROM ${rows}) AS x`,
    batch_keys: `
  SELECT g.name, g.key, k.run_id AS held_id, k.members,
    (SELECT run_id FROM ${schema}.workflow_shared_starts p WHERE p.kind = 'batch' AND p.name = g.name AND p.key = g.key LIMIT 1) AS known_id
  FROM (SELECT DISTINCT name, key FROM batch_given WHERE verdict = 'new' ORDER BY name, key) AS g LEFT JOIN LATERAL (
    SELECT p.run_id, p.members FROM ${schema}.workflow_shared_starts p WHERE p.kind = 'batch' AND p.name = g.name AND p.key = g.key LIMIT 1 FOR UPDATE
  ) AS k ON true`,
    open_batches: `
  SELECT r.id FROM (SELECT DISTINCT held_id AS id FROM batch_keys WHERE held_id IS NOT NULL ORDER BY held_id) AS h CROSS JOIN LATERAL (
    SELECT id FROM ${schema}.workflow_runs WHERE id = h.id AND ${IS_COLLECTING} LIMIT 1 FOR NO KEY UPDATE
  ) AS r`,
    batch_slots: `
  SELECT g.*, k.held_id, o.id AS open_id,
    k.held_id IS NOT NULL AND k.known_id IS DISTINCT FROM k.held_id
      AND (SELECT true FROM ${schema}.workflow_runs WHERE id = k.held_id LIMIT 1) IS NULL AS is_again,
    (CASE WHEN o.id IS NULL THEN g.size ELSE k.members END + row_number() OVER (PARTITION BY g.name, g.key ORDER BY g.ord) - 1)::int AS slot
  FROM batch_given g JOIN batch_keys k ON k.name = g.name AND k.key = g.key LEFT JOIN open_batches o ON o.id = k.held_id
  WHERE g.verdict = 'new'`,
    batch_places: `
  SELECT s.*, s.slot % s.size AS place, s.slot / s.size AS number,
    CASE WHEN s.slot / s.size = 0 THEN s.open_id ELSE first_value(s.batch_id) OVER batch END AS carrier_id,
    row_number() OVER batch AS rank, max(s.slot) OVER (PARTITION BY s.name, s.key, s.slot / s.size) % s.size = s.size - 1 AS is_full
  FROM batch_slots s WINDOW batch AS (PARTITION BY s.name, s.key, s.slot / s.size ORDER BY s.ord)`,
    new_batches: `
  INSERT INTO ${schema}.workflow_shared_starts (kind, name, key, run_id, first_at, until, nonces, members)
  SELECT DISTINCT ON (name, key) 'batch', name, key, carrier_id, now(), now() + wait_ms * interval '1 millisecond', '{}'::bigint[], place + 1
  FROM batch_places WHERE held_id IS NULL ORDER BY name, key, slot DESC
  ON CONFLICT DO NOTHING
  RETURNING name, key`,
    changed_batches: `
  UPDATE ${schema}.workflow_shared_starts k SET run_id = x.carrier_id, members = x.place + 1, until = greatest(k.until, now() + x.wait_ms * interval '1 millisecond')
  FROM (SELECT DISTINCT ON (name, key) name, key, carrier_id, place, wait_ms FROM batch_places
    WHERE held_id IS NOT NULL AND NOT is_again ORDER BY name, key, slot DESC) AS x
  WHERE k.kind = 'batch' AND k.name = ANY (ARRAY[x.name]) AND k.key = ANY (ARRAY[x.key])
  RETURNING 1`,
    batches: `
  INSERT INTO ${schema}.workflow_runs
    (id, name, version, queue, priority, input, start_nonce, batch_size, deployment_id, created_at, status, ready_at, wake_at, deadline_at,
      timeout_ms, trace_context, queue_key, place)
  SELECT x.batch_id, x.name, x.version, x.queue, x.priority, '${UNSEALED_BATCH}'::json, x.batch_nonce, x.size, x.deployment_id, now(),
    CASE WHEN x.is_full THEN 'pending' ELSE 'waiting' END, CASE WHEN x.is_full THEN now() END,
    CASE WHEN NOT x.is_full THEN now() + x.wait_ms * interval '1 millisecond' END,
    now() + (CASE WHEN x.is_full THEN 0 ELSE x.wait_ms END + x.timeout_ms) * interval '1 millisecond', x.timeout_ms, x.trace_context,
    x.queue_key, ${placeSql(schema, 'x.queue')}
  FROM ${PLACED} AS x WHERE x.number > 0 AND x.rank = 1
  RETURNING id`,
    filled_batches: `
  UPDATE ${schema}.workflow_runs r SET status = 'pending', ready_at = now(), wake_at = NULL, wake_count = r.wake_count + 1,
    deadline_at = now() + r.timeout_ms * interval '1 millisecond'
  FROM (SELECT DISTINCT open_id FROM ${PLACED} AS p WHERE number = 0 AND is_full) AS x WHERE r.id = ANY (ARRAY[x.open_id])
  RETURNING r.id`,
  }),
  sql: (schema) => `
  INSERT INTO ${schema}.workflow_runs
    (id, name, version, queue, priority, input, start_nonce, deployment_id, created_at, status, trace_context, batch_id, batch_place, parent_run_id,
      queue_key, place)
  SELECT x.id, x.name, x.version, x.queue, x.priority, x.input, x.nonce, x.deployment_id, now(), 'waiting', x.trace_context, x.carrier_id, x.place, x.parent_run_id,
    x.queue_key, ${placeSql(schema, 'x.queue')}
  FROM ${PLACED} AS x
  ON CONFLICT (id) DO NOTHING
  RETURNING id`,
  also: () => ({
    batch_results: `
  SELECT g.id, CASE WHEN g.verdict = 'new' AND m.id IS NULL THEN 'again' ELSE g.verdict END AS verdict, p.carrier_id,
    (p.number > 0 AND p.rank = 1) OR (p.number = 0 AND p.is_full AND p.rank = 1) AS is_news,
    CASE WHEN NOT p.is_full THEN extract(epoch FROM now())::float8 * 1000 + p.wait_ms END AS wake_at
  FROM batch_given g LEFT JOIN batch_members m ON m.id = g.id LEFT JOIN batch_places p ON p.id = g.id`,
  }),
};

/** SQL of the results, as the text of a JSON array. */
export const BATCH_RESULTS = `(SELECT coalesce(json_agg(json_build_array(r.id, r.verdict, CASE WHEN r.is_news THEN r.carrier_id END, r.wake_at)), '[]')::text
  FROM batch_results r)`;

/** Result of the start of a member. */
export interface BatchResult {
  readonly verdict: 'new' | 'exists' | 'withheld' | 'again';
  /** Id of the batch, if this start has opened or filled it; otherwise null. */
  readonly announcedId: string | null;
  /** Time at which the batch becomes due; null when it is due now. */
  readonly wakeAt: number | null;
}

/** Reads the results of a flush, by the id of the member. */
export function toBatchResults(text: string): Map<string, BatchResult> {
  const rows = JSON.parse(text) as [id: string, verdict: BatchResult['verdict'], announcedId: string | null, wakeAt: number | null][];
  return new Map(rows.map(([id, verdict, announcedId, wakeAt]) => [id, { verdict, announcedId, wakeAt }]));
}
