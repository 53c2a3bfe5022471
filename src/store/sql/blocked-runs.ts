import type { DispatchKey } from '../../core/run.js';
import type { Database } from '../database.js';
import { changeMany, manyRuns } from '../many-runs.js';

const UNBLOCK = manyRuns('durable_unblock', {
  select: (schema, narrow) => `WITH fitting AS MATERIALIZED (
  SELECT r.id FROM ${schema}.workflow_runs r
  WHERE r.status = 'waiting' AND r.is_blocked AND NOT ($4::text = ANY (r.blocked_deployments))
    AND EXISTS (SELECT 1 FROM unnest($1::text[], $2::text[], $3::int[]) AS k(queue, name, version)
      WHERE r.queue = k.queue AND r.name = k.name AND r.version = k.version)${narrow}
  ORDER BY r.id LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED
)`,
  change: (schema) =>
    `UPDATE ${schema}.workflow_runs r SET status = 'pending', ready_at = now(), is_blocked = false FROM fitting WHERE r.id = ANY (ARRAY[fitting.id]) RETURNING r.id`,
  selected: 'SELECT id FROM fitting',
  parameter: 5,
});

/**
 * Makes blocked runs due, if this deployment may be able to execute them. A run is blocked when the
 * code of a deployment does not fit its history. Runs that this deployment has already tried stay
 * blocked. Returns the ids of the runs that were made due.
 */
export async function unblockRuns(database: Database, keys: readonly DispatchKey[], deploymentId: string): Promise<string[]> {
  const values = [keys.map((key) => key.queue), keys.map((key) => key.name), keys.map((key) => key.version), deploymentId];
  return (await changeMany<[string]>(database, UNBLOCK, values, ([id]) => id)).rows.map(([id]) => id);
}
