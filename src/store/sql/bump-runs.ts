import type { RunStatus } from '../../core/run.js';
import type { Database, Statement } from '../database.js';

/**
 * Tells runs that messages have come for them: the counter moves for all, and one that waits becomes due. The owner of a running one looks when it sees the
 * counter; one that waits for another deployment hears of it there.
 */
const BUMP: Statement = {
  name: 'durable_bump_runs',
  text: (schema) => `WITH locked AS MATERIALIZED (
  SELECT r.id, r.wakes FROM unnest((SELECT $1::text[])) AS x(id) CROSS JOIN LATERAL (
    SELECT id, status = 'waiting' AND NOT is_blocked AS wakes FROM ${schema}.workflow_runs
    WHERE id = x.id AND status NOT IN ('completed', 'failed', 'cancelled') LIMIT 1 FOR NO KEY UPDATE
  ) AS r
)
UPDATE ${schema}.workflow_runs r SET
  wake_count = r.wake_count + 1,
  status = CASE WHEN locked.wakes THEN 'pending' ELSE r.status END,
  ready_at = CASE WHEN locked.wakes THEN now() ELSE r.ready_at END,
  wake_at = CASE WHEN locked.wakes THEN NULL ELSE r.wake_at END
FROM locked WHERE r.id = ANY (ARRAY[locked.id])
RETURNING r.id, r.status, r.queue, r.name, r.version`,
};

/** A run that was told of a message, as it is now. */
export interface BumpedRun {
  readonly id: string;
  readonly status: RunStatus;
  readonly queue: string;
  readonly name: string;
  readonly version: number;
}

/** Tells these runs that messages have come. Those that have ended are left out. */
export async function bumpRuns(database: Database, runIds: readonly string[]): Promise<BumpedRun[]> {
  // In the order in which everybody locks runs.
  const rows = await database.query<[string, RunStatus, string, string, number]>(BUMP, [[...new Set(runIds)].sort()]);
  return rows.map(([id, status, queue, name, version]) => ({ id, status, queue, name, version }));
}
