import type { ClientBase } from 'pg';

import type { Database, Statement } from '../database.js';
import { SUSPECT_LOSSES } from './claim-runs.js';

/**
 * Reduces the losses that suspects share with a run. All events of one takeover have the time of
 * its transaction. Only pending suspects are updated: a running one belongs to its owner and will
 * end soon. Suspects are few, and an index contains only them.
 */
const CLEAR: Statement = {
  name: 'durable_exonerate',
  text: (schema) => `WITH deaths AS MATERIALIZED (
  SELECT at FROM ${schema}.workflow_run_log WHERE run_id = $1 AND kind = 'worker_lost'
), suspects AS MATERIALIZED (
  SELECT r.id FROM ${schema}.workflow_runs r WHERE r.status = 'pending' AND r.worker_losses >= ${SUSPECT_LOSSES} ORDER BY r.id FOR NO KEY UPDATE SKIP LOCKED
), victims AS MATERIALIZED (
  SELECT s.id, shared.deaths FROM suspects s CROSS JOIN LATERAL (
    SELECT count(*)::int AS deaths FROM ${schema}.workflow_run_log e
    WHERE e.run_id = s.id AND e.kind = 'worker_lost' AND e.at IN (SELECT at FROM deaths)
  ) AS shared WHERE shared.deaths > 0
)
UPDATE ${schema}.workflow_runs r SET worker_losses = greatest(r.worker_losses - victims.deaths, 0) FROM victims WHERE r.id = ANY (ARRAY[victims.id])`,
};

/**
 * Clears the suspects of the losses that they share with a run that has failed because it killed
 * its workers.
 */
export async function clearSuspects(database: Database, client: ClientBase, runId: string): Promise<void> {
  await database.query(CLEAR, [runId], client);
}
