import { joinBatch } from '../../core/batch.js';
import type { Database, Statement } from '../database.js';
import type { SessionFence } from '../session-fence.js';
import { SERVER } from './server-identity.js';

const [HEAD, TAIL] = joinBatch(['\n']).split('\n') as [string, string];

/**
 * Fixes the members of batches that the session has claimed: the members that still wait. Their
 * inputs become the input of the batch, so that a later claim executes the same batch. Members that
 * were cancelled or paused leave, and a batch without members ends.
 */
const SEAL: Statement = {
  name: 'durable_seal_batches',
  text: (schema, lockTimeout) => `WITH session AS MATERIALIZED (
  SELECT id FROM ${schema}.workflow_sessions WHERE id = $1::bigint AND ${SERVER} = $2::text FOR KEY SHARE
), owned AS MATERIALIZED (
  SELECT r.id FROM session CROSS JOIN unnest($3::text[], $4::int[]) AS x(id, epoch) CROSS JOIN LATERAL (
    SELECT id FROM ${schema}.workflow_runs r WHERE r.id = x.id AND r.session_id = session.id AND r.epoch = x.epoch LIMIT 1
  ) AS r ORDER BY r.id
), members AS MATERIALIZED (
  SELECT m.* FROM owned CROSS JOIN LATERAL (
    SELECT id, batch_id, batch_place, status, input FROM ${schema}.workflow_runs
    WHERE batch_id = owned.id AND batch_place IS NOT NULL ORDER BY id FOR NO KEY UPDATE
  ) AS m
), placed AS MATERIALIZED (
  SELECT id, batch_id, input, row_number() OVER (PARTITION BY batch_id ORDER BY batch_place) - 1 AS place FROM members WHERE status = 'waiting'
), gone AS (
  UPDATE ${schema}.workflow_runs r SET batch_place = NULL, batch_id = CASE WHEN m.status = 'paused' THEN NULL ELSE r.batch_id END
  FROM members m WHERE r.id = ANY (ARRAY[m.id]) AND m.status <> 'waiting'
  RETURNING 1
), numbered AS (
  UPDATE ${schema}.workflow_runs r SET batch_place = p.place FROM placed p WHERE r.id = ANY (ARRAY[p.id]) AND r.batch_place <> p.place
  RETURNING 1
), inputs AS MATERIALIZED (
  SELECT owned.id, count(p.id)::int AS members, '${HEAD}' || coalesce(string_agg(p.input::text, ',' ORDER BY p.place), '') || '${TAIL}' AS input
  FROM owned LEFT JOIN placed p ON p.batch_id = owned.id GROUP BY owned.id
)
UPDATE ${schema}.workflow_runs r SET input = i.input::json,
  status = CASE WHEN i.members = 0 THEN 'cancelled' ELSE r.status END,
  session_id = CASE WHEN i.members > 0 THEN r.session_id END,
  finished_at = CASE WHEN i.members = 0 THEN now() END
FROM inputs i WHERE r.id = ANY (ARRAY[i.id])${lockTimeout}
RETURNING r.id, r.input::text, i.members`,
};

/**
 * Fixes the members of claimed batches.
 *
 * @returns the input of each batch that has members, by run id. A batch that is missing has no
 *   members and has ended, or is no longer owned by the session
 */
export async function sealBatches(
  database: Database,
  fence: SessionFence,
  batches: readonly { readonly id: string; readonly epoch: number }[],
): Promise<Map<string, string>> {
  const values = [fence.id, fence.server, batches.map(({ id }) => id), batches.map(({ epoch }) => epoch)];
  const rows = await database.query<[string, string, number]>(SEAL, values);
  return new Map(rows.flatMap(([id, input, members]) => (members === 0 ? [] : [[id, input]])));
}

const MEMBERS: Statement = {
  name: 'durable_batch_members',
  text: (schema) => `SELECT id FROM ${schema}.workflow_runs WHERE batch_id = $1 ORDER BY id`,
};

/** Reads the ids of the members of a batch. */
export async function readBatchMembers(database: Database, batchId: string): Promise<string[]> {
  return (await database.query<[string]>(MEMBERS, [batchId])).map(([id]) => id);
}
