import type { RunStatus } from '../../core/run.js';
import type { NotifiedRun } from '../../core/run-notices.js';
import type { Database, Statement } from '../database.js';
import { changeNamed } from '../many-runs.js';
import { freedKeySql } from './places.js';
import { TERMINAL } from './run-status.js';

/**
 * Inserts a request to pause into a run's inbox, unless the run already has one, is paused, has
 * ended or is to be cancelled. The request stays there until `resume` or `cancel` removes it. If
 * the run's worker dies, the next worker therefore finds the request.
 */
const SEND: Statement = {
  name: 'durable_send_pause',
  text: (schema) => `WITH run AS (
  SELECT id, status, status <> 'paused' AND status NOT IN ${TERMINAL} AND cancel_requested_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM ${schema}.workflow_inbox i WHERE i.run_id = $1 AND i.kind = 'pause') AS is_new
  FROM ${schema}.workflow_runs WHERE id = $1
), sent AS (
  INSERT INTO ${schema}.workflow_inbox (run_id, kind, payload) SELECT id, 'pause', $2::json FROM run WHERE is_new
), logged AS (
  INSERT INTO ${schema}.workflow_run_log (run_id, kind, data) SELECT id, 'paused', $2::json FROM run WHERE is_new
)
SELECT status FROM run`,
};

/**
 * Makes runs notice their pause requests. A run that no worker is executing is paused here. For a
 * running run, the statement only raises the wake counter, so that the run's worker reads the
 * request. A paused run keeps its wake time, which applies again when the run is resumed.
 */
const NOTIFY: Statement = {
  name: 'durable_pause_runs',
  text: (schema, lockTimeout) => `WITH locked AS MATERIALIZED (
  SELECT r.id, r.place FROM unnest((SELECT $1::text[])) AS x(id) CROSS JOIN LATERAL (
    SELECT id, place FROM ${schema}.workflow_runs WHERE id = x.id AND status IN ('pending', 'waiting', 'running') AND cancel_requested_at IS NULL
      AND EXISTS (SELECT 1 FROM ${schema}.workflow_inbox i WHERE i.run_id = x.id AND i.kind = 'pause')
    LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
  ) AS r
)
UPDATE ${schema}.workflow_runs r SET
  wake_count = r.wake_count + 1,
  status = CASE WHEN r.status = 'running' THEN r.status ELSE 'paused' END,
  ready_at = NULL
FROM locked WHERE r.id = ANY (ARRAY[locked.id])${lockTimeout}
RETURNING r.id, r.status, r.queue, r.name, r.version, ${freedKeySql('locked', 'r')}`,
};

const WITHDRAW: Statement = {
  name: 'durable_withdraw_pause',
  text: (schema) => `DELETE FROM ${schema}.workflow_inbox i USING ${schema}.workflow_runs r
WHERE i.run_id = $1 AND i.kind = 'pause' AND r.id = $1 AND r.cancel_requested_at IS NOT NULL`,
};

/**
 * Resumes a paused or blocked run, and deletes its request to pause.
 *
 * - A paused run becomes due if it has messages, a wake time that has passed, or no wake time.
 * Without a wake time, only the run's code knows what the run waits for.
 * - A paused run with a later wake time continues to wait.
 * - A blocked run becomes due, and every deployment may try it again.
 * - A run that is both paused and blocked becomes `waiting` and stays blocked.
 * - A run that has not paused yet keeps its status.
 */
const RESUME: Statement = {
  name: 'durable_resume_run',
  text: (schema, lockTimeout) => `WITH run AS MATERIALIZED (
  SELECT r.id, r.status, r.status = 'paused' AS was_paused, r.status = 'waiting' AND r.is_blocked AS was_blocked,
    NOT r.is_blocked AND (r.wake_at IS NULL OR r.wake_at <= now()
      OR EXISTS (SELECT 1 FROM ${schema}.workflow_inbox i WHERE i.run_id = r.id AND i.kind <> 'pause')) AS due
  FROM ${schema}.workflow_runs r WHERE r.id = $1 AND r.status NOT IN ${TERMINAL} FOR NO KEY UPDATE NOWAIT
), request AS (
  DELETE FROM ${schema}.workflow_inbox i USING (
    SELECT m.run_id, m.id FROM run
    CROSS JOIN LATERAL (SELECT run_id, id, kind FROM ${schema}.workflow_inbox WHERE run_id = run.id OFFSET 0) AS m
    WHERE m.kind = 'pause'
  ) AS old WHERE i.run_id = ANY (ARRAY[old.run_id]) AND i.id = ANY (ARRAY[old.id]) RETURNING 1
), logged AS (
  INSERT INTO ${schema}.workflow_run_log (run_id, kind, data)
  SELECT id, 'resumed', $2::json FROM run WHERE was_paused OR was_blocked OR EXISTS (SELECT 1 FROM request)
)
UPDATE ${schema}.workflow_runs r SET
  wake_count = r.wake_count + 1,
  status = CASE WHEN run.was_blocked THEN 'pending' WHEN NOT run.was_paused THEN r.status WHEN run.due THEN 'pending' ELSE 'waiting' END,
  ready_at = CASE WHEN run.was_blocked OR (run.was_paused AND run.due) THEN now() ELSE r.ready_at END,
  wake_at = CASE WHEN run.was_blocked OR (run.was_paused AND run.due) THEN NULL ELSE r.wake_at END,
  is_blocked = r.is_blocked AND NOT run.was_blocked,
  blocked_deployments = CASE WHEN run.was_blocked THEN NULL ELSE r.blocked_deployments END
FROM run WHERE r.id = ANY (ARRAY[run.id])${lockTimeout}
RETURNING r.id, r.status, r.queue, r.name, r.version, extract(epoch FROM r.wake_at)::float8 * 1000`,
};

type NotifiedRow = [string, RunStatus, string, string, number];

/**
 * Inserts a request to pause into a run's inbox. The caller must notify the run with a separate
 * statement.
 *
 * @returns the run's status; undefined when no run has this id
 */
export async function sendPause(database: Database, runId: string, note: string): Promise<RunStatus | undefined> {
  const [row] = await database.deliver<[RunStatus]>(SEND, [runId, note]);
  return row?.[0];
}

/**
 * Notifies runs of requests to pause, and returns the notified runs. Runs that no worker is
 * executing are paused immediately. Never waits for a lock: leaves out runs whose rows are locked.
 * Also leaves out runs that need not pause any more.
 */
export async function notifyOfPause(database: Database, runIds: readonly string[]): Promise<NotifiedRun[]> {
  const notify = (ids: readonly string[]) => database.deliver<[...NotifiedRow, string | null]>(NOTIFY, [ids], 'first');
  const rows = await changeNamed(database, NOTIFY.name, [...runIds].sort(), notify);
  return rows.map(([id, status, queue, name, version, freedKey]) => ({ id, status, queue, name, version, freedKey }));
}

const UNPAUSED: Statement = {
  name: 'durable_unpaused_runs',
  text: (schema) => `SELECT r.id FROM unnest((SELECT $1::text[])) AS x(id) CROSS JOIN LATERAL (
  SELECT id FROM ${schema}.workflow_runs WHERE id = x.id AND status IN ('pending', 'waiting', 'running') AND cancel_requested_at IS NULL
    AND EXISTS (SELECT 1 FROM ${schema}.workflow_inbox i WHERE i.run_id = x.id AND i.kind = 'pause') LIMIT 1
) AS r`,
};

/**
 * Finds the runs that must still pause because their rows were locked when they were notified.
 * Before that, deletes the requests to pause runs that are to be cancelled.
 */
export async function findUnpaused(database: Database, runIds: readonly string[]): Promise<string[]> {
  // A run that is to be cancelled must clean up instead of pausing. A run can have both requests
  // when they were sent at the same time: neither statement saw the other request.
  for (const id of runIds) await database.deliver(WITHDRAW, [id], 'first');
  return (await database.deliver<[string]>(UNPAUSED, [runIds], 'first')).map(([id]) => id);
}

/** State of a run after it was resumed. */
export interface ResumedRun extends NotifiedRun {
  /** Time when a waiting run becomes due, in milliseconds since the epoch. */
  readonly wakeAt: number | null;
}

/**
 * Resumes a paused or blocked run, or withdraws a request to pause before the run has paused.
 * Returns undefined when the run has ended or does not exist. Fails at once when the run's row is
 * locked.
 */
export async function resumeRun(database: Database, runId: string, note: string): Promise<ResumedRun | undefined> {
  const [row] = await database.deliver<[...NotifiedRow, number | null]>(RESUME, [runId, note]);
  return row && { id: row[0], status: row[1], queue: row[2], name: row[3], version: row[4], wakeAt: row[5] };
}
