import type { ClientBase } from 'pg';
import type { EntityManager } from 'typeorm';

import type { RunStatus } from '../../core/run.js';
import type { NotifiedRun } from '../../core/run-notices.js';
import type { Database, Statement } from '../database.js';
import { changeNamed } from '../many-runs.js';
import { currentRunSql } from './chains.js';
import { CALLER_MARK } from './caller-mark.js';
import { freedKeySql } from './places.js';
import { eventColumns, recordEvents } from './run-events.js';
import { IS_BLOCKED, TERMINAL } from './run-status.js';

/**
 * Inserts a request to cancel into the inbox of the named run, or of the last run that continues
 * it. Cancelling a continued run means cancelling its last continuation.
 */
const SEND_CANCEL: Statement = {
  name: 'durable_send_cancel',
  text: (schema) => `WITH run AS MATERIALIZED (
  SELECT id, status FROM ${currentRunSql(schema, '$1', 'id, status')} AS current
), sent AS (
  INSERT INTO ${schema}.workflow_inbox (run_id, kind, payload)
  SELECT id, 'cancel', $2::json FROM run WHERE status NOT IN ${TERMINAL} RETURNING run_id
), logged AS (
  INSERT INTO ${schema}.workflow_run_log (run_id, kind, data) SELECT run_id, 'cancel_requested', $2::json FROM sent
)
SELECT id, status FROM run`,
};

/**
 * Applies requests to cancel. The effect depends on the run's status.
 *
 * - A run that was never executed has nothing to clean up. The statement cancels it, and sends its
 * parent a message.
 * - A waiting or paused run becomes due, so that its code can clean up. A blocked run stays
 * blocked, and a paused one becomes waiting. Requests to pause the run are deleted.
 * - A running run keeps its status, because only the worker that owns the run may change it. The
 * raised wake counter notifies this worker.
 *
 * An empty `parent` matches any parent. NULL would not work: on a caller's connection with
 * `array_nulls` off, PostgreSQL reads NULL in an array as the text "NULL".
 */
const BUMP_CANCEL: Statement = {
  name: 'durable_bump_cancel',
  text: (schema, lockTimeout) => `WITH requested AS MATERIALIZED (
  SELECT r.id, r.place, x.error FROM unnest((SELECT $1::text[]), (SELECT $2::json[]), (SELECT $3::text[])) AS x(id, error, parent) CROSS JOIN LATERAL (
    SELECT id, place FROM ${schema}.workflow_runs WHERE id = x.id AND status NOT IN ${TERMINAL}
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
    error = CASE WHEN status IN ('pending', 'waiting', 'paused') AND started_at IS NULL THEN requested.error END,
    ready_at = CASE WHEN started_at IS NULL OR ${IS_BLOCKED} THEN NULL WHEN status IN ('waiting', 'paused') THEN now() ELSE ready_at END,
    wake_at = CASE WHEN status IN ('waiting', 'paused') THEN NULL ELSE wake_at END
  FROM requested WHERE r.id = ANY (ARRAY[requested.id])
  RETURNING ${eventColumns('r')},
    CASE WHEN r.parent_step_key IS NOT NULL THEN r.parent_run_id END AS parent, r.parent_step_key, r.error,
    ${freedKeySql('requested', 'r')} AS freed_key
), notified_parents AS (
  INSERT INTO ${schema}.workflow_inbox (run_id, kind, name, payload)
  SELECT parent, 'child_failed', parent_step_key, error FROM bumped WHERE status = 'cancelled' AND parent IS NOT NULL
), events AS (${recordEvents(schema, { from: 'bumped r', where: `r.status = 'cancelled'`, event: `'run.cancelled'`, error: 'r.error' })}
), unpaused AS (
  DELETE FROM ${schema}.workflow_inbox i USING (
    SELECT m.run_id, m.id FROM bumped
    CROSS JOIN LATERAL (SELECT run_id, id, kind FROM ${schema}.workflow_inbox WHERE run_id = bumped.id OFFSET 0) AS m
    WHERE m.kind = 'pause'
  ) AS old WHERE i.run_id = ANY (ARRAY[old.run_id]) AND i.id = ANY (ARRAY[old.id])
)
SELECT id, status, queue, name, version, CASE WHEN status = 'cancelled' THEN parent END, freed_key FROM bumped WHERE true${lockTimeout}`,
};

const CLEAR: Statement = {
  name: 'durable_clear_inbox',
  text: (schema, lockTimeout) => `DELETE FROM ${schema}.workflow_inbox WHERE run_id = ANY ($1::text[])${lockTimeout}`,
};

/** The run that received a request to cancel: the named run, or its continuation. */
export interface CancelSent {
  readonly id: string;
  readonly status: RunStatus;
}

/**
 * Inserts a request to cancel into the inbox of a run, or of the last run that continues it. The
 * caller must notify the run with a separate statement.
 *
 * @returns the run that received the request; undefined when no run has this id
 */
export async function sendCancel(database: Database, runId: string, payload: string, client?: ClientBase): Promise<CancelSent | undefined> {
  const values = [runId, payload];
  const [found] = client
    ? await database.query<[string, RunStatus]>(SEND_CANCEL, values, client)
    : await database.deliver<[string, RunStatus]>(SEND_CANCEL, values);
  return found && { id: found[0], status: found[1] };
}

/**
 * Inserts a request to cancel into the inbox of a run, or of the last run that continues it, in the
 * caller's transaction. The caller must notify the run after the commit. Returns the run that
 * received the request; undefined when the transaction sees no run with this id.
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

/**
 * Cancels a run that was created in the same transaction of the caller. Before the commit, workers
 * do not see the run, so no worker can be executing it. Returns the name of the run's workflow;
 * undefined when the run had ended.
 */
export async function cancelInTransaction(
  database: Database,
  manager: EntityManager,
  runId: string,
  cancelledError: string,
): Promise<string | undefined> {
  const [run] = await manager.query<{ name: string }[]>(BUMP_CANCEL.text(database.schema, ''), [[runId], [cancelledError], ['']]);
  await manager.query(CLEAR.text(database.schema, ''), [[runId]]);
  return run?.name;
}

/** A request to cancel that waits in a run's inbox. */
export interface CancelRequest {
  readonly runId: string;
  /** JSON text of the error with which the run ends if it was never executed. */
  readonly error: string;
  /**
   * Id of the parent run that sent the request. The request has no effect on a run with another
   * parent. Null matches any parent.
   */
  readonly parentId: string | null;
}

/** State of a run after it was notified of a request to cancel. */
export interface CancelNotified extends NotifiedRun {
  /**
   * Id of the parent, if the request cancelled the run immediately. A message is in the inbox of
   * the parent, but the parent has not been notified.
   */
  readonly parentId: string | null;
}

/**
 * Notifies runs of requests to cancel, and returns the notified runs. Runs that were never executed
 * end immediately. Never waits for a lock: leaves out runs whose rows are locked. Also leaves out
 * runs that have ended.
 */
export async function notifyOfCancel(database: Database, requests: readonly CancelRequest[]): Promise<CancelNotified[]> {
  // Sorted: every statement locks runs in the order of their ids, which prevents deadlocks.
  const byRun = new Map(requests.map((request) => [request.runId, request]));
  const rows = await changeNamed(database, BUMP_CANCEL.name, [...byRun.keys()].sort(), (ids) => {
    const errors = ids.map((id) => byRun.get(id)!.error);
    const parents = ids.map((id) => byRun.get(id)!.parentId ?? '');
    return database.deliver<[string, RunStatus, string, string, number, string | null, string | null]>(
      BUMP_CANCEL,
      [ids, errors, parents],
      'first',
    );
  });
  const ended = rows.filter(([, status]) => status === 'cancelled').map(([id]) => id);
  if (ended.length > 0) {
    database.listened.recorded();
    await database.deliver(CLEAR, [ended], 'first');
  }
  return rows.map(([id, status, queue, name, version, parentId, freedKey]) => ({ id, status, queue, name, version, parentId, freedKey }));
}
