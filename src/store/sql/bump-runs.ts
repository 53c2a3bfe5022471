import type { NotifiedRun } from '../../core/run-notices.js';
import type { RunStatus } from '../../core/run.js';
import type { Database, Statement } from '../database.js';
import { changeNamed } from '../many-runs.js';
import { queuedKeySql } from './places.js';
import { IS_WAKEABLE, TERMINAL } from './run-status.js';

/**
 * Raises the wake counters of runs, and makes waiting runs due. The worker that owns a running run
 * reads the run's inbox when the counter has changed. A blocked run stays blocked: the deployment
 * that continues it reads the inbox.
 */
const BUMP: Statement = {
  name: 'durable_bump_runs',
  text: (schema) => `WITH locked AS MATERIALIZED (
  SELECT r.id, r.wakes FROM unnest((SELECT $1::text[])) AS x(id) CROSS JOIN LATERAL (
    SELECT id, ${IS_WAKEABLE} AS wakes FROM ${schema}.workflow_runs
    WHERE id = x.id AND status NOT IN ${TERMINAL} LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
  ) AS r
)
UPDATE ${schema}.workflow_runs r SET
  wake_count = r.wake_count + 1,
  status = CASE WHEN locked.wakes THEN 'pending' ELSE r.status END,
  ready_at = CASE WHEN locked.wakes THEN now() ELSE r.ready_at END,
  wake_at = CASE WHEN locked.wakes THEN NULL ELSE r.wake_at END
FROM locked WHERE r.id = ANY (ARRAY[locked.id])
RETURNING r.id, r.status, r.queue, r.name, r.version, ${queuedKeySql('r')}`,
};

/**
 * Notifies runs of new messages, and returns the notified runs. Never waits for a lock: leaves out
 * runs whose rows are locked. Also leaves out runs that have ended.
 */
export async function bumpRuns(database: Database, runIds: readonly string[]): Promise<NotifiedRun[]> {
  // Sorted: every statement locks runs in the order of their ids, which prevents deadlocks.
  const rows = await changeNamed(database, BUMP.name, [...new Set(runIds)].sort(), (ids) =>
    database.deliver<[string, RunStatus, string, string, number, string | null]>(BUMP, [ids], 'first'),
  );
  return rows.map(([id, status, queue, name, version, queuedKey]) => ({ id, status, queue, name, version, queuedKey }));
}

const MISSED: Statement = {
  name: 'durable_missed_runs',
  text: (schema) => `SELECT r.id, r.status, r.continued_as IS NOT NULL, r.parent_run_id FROM unnest((SELECT $1::text[])) AS x(id)
CROSS JOIN LATERAL (SELECT id, status, continued_as, parent_run_id FROM ${schema}.workflow_runs WHERE id = x.id LIMIT 1) AS r`,
};

/** A run that did not receive a notification. */
export interface MissedRun {
  readonly id: string;
  readonly status: RunStatus;
  /** True when another run continues this run and has received its messages. */
  readonly isContinued: boolean;
  readonly parentId: string | null;
}

/** Looks up runs that could not be notified, because they have ended or their rows were locked. */
export async function findMissed(database: Database, runIds: readonly string[]): Promise<MissedRun[]> {
  const rows = await database.deliver<[string, RunStatus, boolean, string | null]>(MISSED, [runIds], 'first');
  return rows.map(([id, status, isContinued, parentId]) => ({ id, status, isContinued, parentId }));
}
