import type { Database, Statement } from '../database.js';

const SWEEP: Statement = {
  name: 'durable_sweep_inbox',
  text: (schema) => `WITH unheard AS MATERIALIZED (
  SELECT r.id FROM (SELECT DISTINCT run_id FROM ${schema}.workflow_inbox WHERE kind = 'cancel' AND created_at < now() - interval '5 seconds' LIMIT 1000) i
  CROSS JOIN LATERAL (SELECT id FROM ${schema}.workflow_runs WHERE id = i.run_id AND status IN ('pending', 'running', 'waiting') LIMIT 1) AS r
  ORDER BY r.id
), locked AS MATERIALIZED (
  SELECT r.id FROM ${schema}.workflow_runs r JOIN unheard ON r.id = ANY (ARRAY[unheard.id]) ORDER BY r.id FOR NO KEY UPDATE OF r SKIP LOCKED
), bumped AS (
  UPDATE ${schema}.workflow_runs r SET wake_count = r.wake_count + 1, cancel_requested_at = coalesce(r.cancel_requested_at, now()),
    status = CASE WHEN r.status = 'waiting' THEN 'pending' ELSE r.status END,
    ready_at = CASE WHEN r.status = 'waiting' THEN now() ELSE r.ready_at END,
    wake_at = CASE WHEN r.status = 'waiting' THEN NULL ELSE r.wake_at END
  FROM locked WHERE r.id = ANY (ARRAY[locked.id]) RETURNING r.id
), obsolete AS (
  DELETE FROM ${schema}.workflow_inbox i WHERE created_at < now() - interval '5 seconds' 
    AND (SELECT r.status FROM ${schema}.workflow_runs r WHERE r.id = i.run_id) IN ('completed', 'failed', 'cancelled')
)
SELECT id FROM bumped`,
};

/**
 * Sender and run are told of a message in two statements; when the second was lost (a crash, a cut connection), this finds the message. Also clears
 * away what was sent to runs that have ended since. Returns the runs that have something to hear.
 */
export async function sweepInbox(database: Database): Promise<string[]> {
  const rows = await database.query<[string]>(SWEEP, []);
  return rows.map(([id]) => id);
}
