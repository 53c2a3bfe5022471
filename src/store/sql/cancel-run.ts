import type { ClientBase } from 'pg';
import type { EntityManager } from 'typeorm';

import type { RunStatus } from '../../core/run.js';
import type { NotifiedRun } from '../../core/run-notices.js';
import type { Database, Statement } from '../database.js';
import { currentRunSql } from './chains.js';
import { CALLER_MARK } from './caller-mark.js';

/** A run that was continued as another is stopped as that one. */
const SEND_CANCEL: Statement = {
  name: 'durable_send_cancel',
  text: (schema) => `WITH run AS MATERIALIZED (
  SELECT id, status FROM ${currentRunSql(schema, '$1', 'id, status')} AS current
), sent AS (
  INSERT INTO ${schema}.workflow_inbox (run_id, kind, payload)
  SELECT id, 'cancel', $2::json FROM run WHERE status NOT IN ('completed', 'failed', 'cancelled') RETURNING run_id
), noted AS (
  INSERT INTO ${schema}.workflow_run_log (run_id, kind, data) SELECT run_id, 'cancel_requested', $2::json FROM sent
)
SELECT id, status FROM run`,
};

/** A run that waits for a deployment whose code fits its history: nobody could take it, and it would stand in the way of every claim. */
const IS_BLOCKED = `(status IN ('waiting', 'paused') AND is_blocked)`;

/**
 * A run that has never been executed has nothing to clean up and is cancelled here, and whoever waits for it as a child gets its message; a waiting one becomes
 * due, unless it waits for another deployment; one that is running is told by its counter alone, because only its owner may change it. A paused one goes on, and
 * a request to pause counts no more: there is something to clean up. An empty `parent` stands for anybody's run: a caller's session may have `array_nulls` off.
 */
const BUMP_CANCEL: Statement = {
  name: 'durable_bump_cancel',
  text: (schema, patience) => `WITH asked AS MATERIALIZED (
  SELECT r.id, x.error FROM unnest((SELECT $1::text[]), (SELECT $2::json[]), (SELECT $3::text[])) AS x(id, error, parent) CROSS JOIN LATERAL (
    SELECT id FROM ${schema}.workflow_runs WHERE id = x.id AND status NOT IN ('completed', 'failed', 'cancelled')
      AND (x.parent = '' OR parent_run_id = x.parent)
    LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
  ) AS r
), bumped AS (
  UPDATE ${schema}.workflow_runs r SET
    wake_count = wake_count + 1,
    cancel_requested_at = coalesce(cancel_requested_at, now()),
    status = CASE WHEN status IN ('pending', 'waiting', 'paused') AND started_at IS NULL THEN 'cancelled'
      WHEN ${IS_BLOCKED} THEN 'waiting' WHEN status IN ('waiting', 'paused') THEN 'pending' ELSE status END,
    finished_at = CASE WHEN status IN ('pending', 'waiting', 'paused') AND started_at IS NULL THEN now() END,
    error = CASE WHEN status IN ('pending', 'waiting', 'paused') AND started_at IS NULL THEN asked.error END,
    ready_at = CASE WHEN started_at IS NULL OR ${IS_BLOCKED} THEN NULL WHEN status IN ('waiting', 'paused') THEN now() ELSE ready_at END,
    wake_at = CASE WHEN status IN ('waiting', 'paused') THEN NULL ELSE wake_at END
  FROM asked WHERE r.id = ANY (ARRAY[asked.id])
  RETURNING r.id, r.status, r.queue, r.name, r.version, CASE WHEN r.parent_step_key IS NOT NULL THEN r.parent_run_id END AS parent, r.parent_step_key, r.error
), told AS (
  INSERT INTO ${schema}.workflow_inbox (run_id, kind, name, payload)
  SELECT parent, 'child_failed', parent_step_key, error FROM bumped WHERE status = 'cancelled' AND parent IS NOT NULL
), unpaused AS (
  DELETE FROM ${schema}.workflow_inbox i USING (
    SELECT m.run_id, m.id FROM bumped CROSS JOIN LATERAL (SELECT run_id, id, kind FROM ${schema}.workflow_inbox WHERE run_id = bumped.id OFFSET 0) AS m WHERE m.kind = 'pause'
  ) AS old WHERE i.run_id = ANY (ARRAY[old.run_id]) AND i.id = ANY (ARRAY[old.id])
)
SELECT id, status, queue, name, version, CASE WHEN status = 'cancelled' THEN parent END FROM bumped WHERE true${patience}`,
};

const CLEAR: Statement = {
  name: 'durable_clear_inbox',
  text: (schema, patience) => `DELETE FROM ${schema}.workflow_inbox WHERE run_id = ANY ($1::text[])${patience}`,
};

/** The run that a request to cancel has come to: the one that was named, or the one that goes on in its place. */
export interface CancelSent {
  readonly id: string;
  readonly status: RunStatus;
}

/**
 * Leaves a request to cancel in the run's inbox; the run is notified in a statement of its own.
 *
 * @returns undefined when there is no such run
 */
export async function sendCancel(database: Database, runId: string, payload: string, client?: ClientBase): Promise<CancelSent | undefined> {
  const values = [runId, payload];
  const [found] = client
    ? await database.query<[string, RunStatus]>(SEND_CANCEL, values, client)
    : await database.deliver<[string, RunStatus]>(SEND_CANCEL, values);
  return found && { id: found[0], status: found[1] };
}

/**
 * Leaves a request to cancel in the run's inbox, in a transaction of the caller; the run is notified after its commit. Returns the run as the
 * transaction sees it, undefined when it sees none.
 */
export async function sendCancelInTransaction(
  database: Database,
  manager: EntityManager,
  runId: string,
  payload: string,
): Promise<CancelSent | undefined> {
  const [found] = await manager.query<CancelSent[]>(`${CALLER_MARK} ${SEND_CANCEL.text(database.schema, '')}`, [runId, payload]);
  return found;
}

/** Cancels a run that was created in the same transaction of the caller, which nobody else sees: nobody executes it in between. */
export async function cancelInTransaction(
  database: Database,
  manager: EntityManager,
  runId: string,
  cancelledError: string,
): Promise<void> {
  await manager.query(BUMP_CANCEL.text(database.schema, ''), [[runId], [cancelledError], ['']]);
  await manager.query(CLEAR.text(database.schema, ''), [[runId]]);
}

/** A request to cancel that waits in a run's inbox. */
export interface CancelRequest {
  readonly runId: string;
  /** The error of a run that ends without having been executed: JSON text. */
  readonly error: string;
  /** The run that asks; a run with another parent that has the id is left alone. Null: anybody's run. */
  readonly parentId: string | null;
}

/** A run that was notified of a request to cancel, as it is now. */
export interface CancelNotified extends NotifiedRun {
  /** The run that waits for a run that has been cancelled here: it has a message, and has not been notified. */
  readonly parentId: string | null;
}

/**
 * Notifies runs of requests to cancel. Runs that have never been executed end here. Never waits for a lock: runs whose rows somebody holds are left
 * out, as are those that have ended.
 */
export async function notifyOfCancel(database: Database, requests: readonly CancelRequest[]): Promise<CancelNotified[]> {
  // In the order in which everybody locks runs.
  const sorted = [...requests].sort((a, b) => (a.runId < b.runId ? -1 : 1));
  const rows = await database.deliver<[string, RunStatus, string, string, number, string | null]>(
    BUMP_CANCEL,
    [sorted.map(({ runId }) => runId), sorted.map(({ error }) => error), sorted.map(({ parentId }) => parentId ?? '')],
    'first',
  );
  const ended = rows.filter(([, status]) => status === 'cancelled').map(([id]) => id);
  if (ended.length > 0) await database.deliver(CLEAR, [ended], 'first');
  return rows.map(([id, status, queue, name, version, parentId]) => ({ id, status, queue, name, version, parentId }));
}
