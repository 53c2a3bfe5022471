import type { Database, Statement } from '../database.js';
import type { SessionFence } from '../session-fence.js';
import { SERVER } from './server-identity.js';

/**
 * Resets a run that has the same id as a deleted run. A run that is claimed for the first time
 * (epoch 1) has no rows of its own yet. Rows that exist therefore belong to the deleted run, and
 * are removed. The raised epoch keeps later writes for the deleted run from changing the new run.
 */
const RESET: Statement = {
  name: 'durable_reset_run',
  text: (schema, lockTimeout) => `WITH session AS MATERIALIZED (
  SELECT id FROM ${schema}.workflow_sessions WHERE id = $1::bigint AND ${SERVER} = $2::text FOR KEY SHARE
), own AS MATERIALIZED (
  SELECT r.id, r.epoch FROM session CROSS JOIN LATERAL (
    SELECT id, epoch FROM ${schema}.workflow_runs WHERE id = $3 AND session_id = session.id AND epoch = $4::int LIMIT 1 FOR NO KEY UPDATE
  ) AS r
), steps AS (
  DELETE FROM ${schema}.workflow_steps t USING own WHERE own.epoch = 1 AND t.run_id = ANY (ARRAY[own.id])
), waits AS (
  DELETE FROM ${schema}.workflow_waits t USING own WHERE own.epoch = 1 AND t.run_id = ANY (ARRAY[own.id])
), state AS (
  DELETE FROM ${schema}.workflow_state t USING own WHERE own.epoch = 1 AND t.run_id = ANY (ARRAY[own.id])
)
UPDATE ${schema}.workflow_runs r SET status = 'pending', session_id = NULL, ready_at = now(), epoch = r.epoch + 1
FROM own WHERE r.id = ANY (ARRAY[own.id])${lockTimeout}
RETURNING r.id`,
};

/**
 * Makes a claimed run due again. The session claimed this run while it was still executing a
 * deleted run with the same id.
 *
 * @returns false when the session does not own the run under this epoch
 */
export async function resetRun(
  database: Database,
  fence: SessionFence,
  run: { readonly id: string; readonly epoch: number },
): Promise<boolean> {
  const rows = await database.query<[string]>(RESET, [fence.id, fence.server, run.id, run.epoch]);
  return rows.length > 0;
}
