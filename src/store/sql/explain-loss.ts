import type { ClientBase } from 'pg';

import { WorkerLostError } from '../../core/errors/index.js';
import { encodeError } from '../../core/serializer/index.js';
import type { Database, Statement } from '../database.js';
import { clearSuspects } from './clear-suspects.js';
import { eventColumns, recordEvents } from './run-events.js';

/** Number of workers that must die while they execute a run alone, before that run fails. */
export const MAX_EXCLUSIVE_LOSSES = 3;

const CLEAR_WAITS: Statement = {
  name: 'durable_clear_waits',
  // Waits for children stay: the children continue, and a retry of the run waits for them again.
  text: (schema) => `DELETE FROM ${schema}.workflow_waits WHERE run_id = $1 AND kind <> 'child'`,
};

const EXPLAIN_LOSS: Statement = {
  name: 'durable_explain_loss',
  text: (schema) =>
    `WITH explained AS (
  UPDATE ${schema}.workflow_runs r SET error = $2::json, error_code = 'WORKER_LOST' WHERE id = $1 AND status = 'failed' AND error IS NULL
  RETURNING ${eventColumns('r')}, r.error, r.error_code
)${recordEvents(schema, { from: 'explained r', event: `'run.failed'`, error: 'r.error', facts: `'code', r.error_code` })}`,
};

/**
 * Sends a message to the parent of a run that has failed because its workers died. A run that fails
 * for another reason sends the same kind of message.
 */
const NOTIFY_PARENT: Statement = {
  name: 'durable_tell_parent_of_loss',
  text: (schema) => `INSERT INTO ${schema}.workflow_inbox (run_id, kind, name, payload)
SELECT parent_run_id, 'child_failed', parent_step_key, error FROM ${schema}.workflow_runs
WHERE id = $1 AND status = 'failed' AND parent_run_id IS NOT NULL AND parent_step_key IS NOT NULL`,
};

/**
 * Completes a run that a takeover has failed: stores its error, removes its waits, and sends its
 * parent a message.
 *
 * @param client the transaction of the takeover
 */
export async function explainLoss(database: Database, client: ClientBase, id: string): Promise<void> {
  await database.query(CLEAR_WAITS, [id], client);
  await database.query(EXPLAIN_LOSS, [id, encodeError(new WorkerLostError(id, MAX_EXCLUSIVE_LOSSES))], client);
  await database.query(NOTIFY_PARENT, [id], client);
  await clearSuspects(database, client, id);
}
