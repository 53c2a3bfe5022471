import type { ClientBase } from 'pg';

import type { Database, Statement } from '../database.js';
import { SUSPECT_LOSSES } from './claim-runs.js';

/**
 * Events of one takeover have one time, that of its transaction. Only suspects that nobody has in hand: of others the owner disposes, and they will end soon. They
 * are few, and an index holds just them.
 */
const EXONERATE: Statement = {
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

/** A run has been given up as the one that killed its workers: what was lost together with it is no longer held against the others. */
export async function clearSuspects(database: Database, client: ClientBase, runId: string): Promise<void> {
  await database.query(EXONERATE, [runId], client);
}
