import type { ClientBase } from 'pg';

import type { Database, Statement } from '../database.js';
import { SUSPECT_LOSSES } from './claim-runs.js';

/**
 * Subtracts from suspects (runs whose workers have died twice or more) the losses that they share
 * with a given run. Shared losses have the same time, because one transaction takes over all runs
 * of a dead worker. A running suspect is not updated, because only its owner may change it, and it
 * will end soon. Suspects are few, and an index contains only them.
 */
const CLEAR: Statement = {
  name: 'durable_clear_suspects',
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
 * Subtracts the losses that other suspects suffered together with the given run. This run killed
 * its workers and has failed, so the other suspects are not responsible.
 */
export async function clearSuspects(database: Database, client: ClientBase, runId: string): Promise<void> {
  await database.query(CLEAR, [runId], client);
}
