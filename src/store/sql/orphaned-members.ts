import type { DueRun } from '../../core/run.js';
import type { Database, Statement } from '../database.js';

/** Number of batches that one statement looks at, and of members that it changes. */
const MOST_BATCHES = 500;
const MOST_MEMBERS = 500;

/** Builds a condition that is true while any member waits for its batch: reads one index entry. */
export const hasMembersSql = (schema: string): string =>
  `(SELECT true FROM ${schema}.workflow_runs WHERE batch_place IS NOT NULL ORDER BY batch_id LIMIT 1)`;

/**
 * Lets members leave a batch whose run was deleted. They are executed alone, as batches of one; a
 * paused member stays paused. Reads one index entry for each batch, and locks members in the order
 * of their ids.
 */
const FREE: Statement = {
  name: 'durable_free_orphaned_members',
  text: (schema) => `WITH RECURSIVE open AS (
  (SELECT m.batch_id, 1 AS n FROM ${schema}.workflow_runs m WHERE m.batch_place IS NOT NULL AND m.batch_id > $1 ORDER BY m.batch_id LIMIT 1)
  UNION ALL
  SELECT next.batch_id, open.n + 1 FROM open CROSS JOIN LATERAL (
    SELECT m.batch_id FROM ${schema}.workflow_runs m WHERE m.batch_place IS NOT NULL AND m.batch_id > open.batch_id ORDER BY m.batch_id LIMIT 1
  ) AS next WHERE open.n < ${MOST_BATCHES}
), orphaned AS MATERIALIZED (
  SELECT open.batch_id FROM open WHERE (SELECT true FROM ${schema}.workflow_runs b WHERE b.id = open.batch_id LIMIT 1) IS NULL
), members AS MATERIALIZED (
  SELECT m.id FROM orphaned CROSS JOIN LATERAL (
    SELECT m.id FROM ${schema}.workflow_runs m WHERE m.batch_place IS NOT NULL AND m.batch_id = orphaned.batch_id LIMIT ${MOST_MEMBERS}
  ) AS m ORDER BY m.id LIMIT ${MOST_MEMBERS}
), locked AS MATERIALIZED (
  SELECT r.id FROM members CROSS JOIN LATERAL (
    SELECT m.id FROM ${schema}.workflow_runs m WHERE m.id = members.id AND m.batch_place IS NOT NULL LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
  ) AS r
), freed AS (
  UPDATE ${schema}.workflow_runs m SET batch_place = NULL, batch_id = NULL, wake_at = NULL,
    status = CASE WHEN m.status = 'waiting' THEN 'pending' ELSE m.status END, ready_at = CASE WHEN m.status = 'waiting' THEN now() END
  FROM locked WHERE m.id = ANY (ARRAY[locked.id])
  RETURNING m.id, m.queue, m.name, m.version, m.queue_key, m.ready_at IS NOT NULL AS is_due
)
SELECT (SELECT max(batch_id) FROM open), (SELECT count(*) FROM open)::int, f.id, f.queue, f.name, f.version, f.queue_key, f.is_due
FROM (SELECT 1) AS one LEFT JOIN freed f ON true`,
};

type FreedRow = [
  ...[last: string | null, batches: number],
  ...[id: string | null, queue: string, name: string, version: number, queueKey: string | null, isDue: boolean],
];

/** Lets the members of deleted batches be executed alone. Returns the runs that are due now. */
export async function freeOrphanedMembers(database: Database, signal: AbortSignal): Promise<DueRun[]> {
  const due: DueRun[] = [];
  for (let after = '', isMore = true; isMore && !signal.aborted;) {
    const rows = await database.query<FreedRow>(FREE, [after]);
    const [last, batches] = rows[0]!;
    for (const [, , id, queue, name, version, queueKey, isDue] of rows)
      if (id !== null && isDue) due.push({ id, queue, name, version, queueKey });
    isMore = batches === MOST_BATCHES;
    after = last ?? '';
  }
  return due;
}
