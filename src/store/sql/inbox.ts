import type { ClientBase } from 'pg';
import type { EntityManager } from 'typeorm';

import { isTerminal, type DispatchKey, type RunStatus } from '../../core/run.js';
import { faultOf } from '../database-errors.js';
import type { Database, Statement } from '../database.js';
import { currentRunSql } from './chains.js';
import { SERVER } from './server-identity.js';
import { forwardMessages } from './send-signal.js';
import { CALLER_MARK } from './caller-mark.js';

/** A message to a run that has not been taken. */
export interface InboxMessage {
  readonly runId: string;
  readonly id: string;
  readonly kind: 'cancel' | 'signal' | 'hook' | 'child' | 'child_failed' | 'pause' | 'resolve' | 'resolve_failed';
  /** A signal's name, a hook's token, the step that waits for a child or is resolved. */
  readonly name: string | null;
  /** JSON text. */
  readonly payload: string | null;
}

/** A run that was continued as another is stopped as that one. */
const SEND_CANCEL: Statement = {
  name: 'durable_send_cancel',
  text: (schema) => `WITH run AS MATERIALIZED (
  SELECT id, status FROM ${currentRunSql(schema, '$1', 'id, status')} AS current
), sent AS (
  INSERT INTO ${schema}.workflow_inbox (run_id, kind, payload)
  SELECT id, 'cancel', $2::json FROM run WHERE status NOT IN ('completed', 'failed', 'cancelled') RETURNING run_id
), noted AS (
  INSERT INTO ${schema}.workflow_events (run_id, kind, data) SELECT run_id, 'cancel_requested', $2::json FROM sent
)
SELECT id, status FROM run`,
};

/** A run that waits for a deployment whose code fits its history: nobody could take it, and it would stand in the way of every claim. */
const IS_BLOCKED = `(status IN ('waiting', 'paused') AND is_blocked)`;

/**
 * A run that has never been executed has nothing to clean up and is cancelled here, and whoever waits for it as a child gets its message; a waiting one becomes
 * due, unless it waits for another deployment; one that is running is told by its counter alone, because only its owner may change it. A paused one goes on, and
 * a request to pause counts no more: there is something to clean up.
 */
const BUMP_CANCEL: Statement = {
  name: 'durable_bump_cancel',
  text: (schema, patience) => `WITH asked AS MATERIALIZED (
  SELECT r.id, x.error FROM unnest((SELECT $1::text[]), (SELECT $2::json[]), (SELECT $3::text[])) AS x(id, error, parent) CROSS JOIN LATERAL (
    SELECT id FROM ${schema}.workflow_runs WHERE id = x.id AND status NOT IN ('completed', 'failed', 'cancelled')
      AND (x.parent IS NULL OR parent_run_id = x.parent)
    LIMIT 1 FOR NO KEY UPDATE
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

const READ: Statement = {
  name: 'durable_read_inbox',
  text: (schema) =>
    `SELECT i.run_id, i.id::text, i.kind, i.name, i.payload::text FROM unnest((SELECT $1::text[])) AS x(id)
CROSS JOIN LATERAL (SELECT * FROM ${schema}.workflow_inbox WHERE run_id = x.id OFFSET 0) AS i ORDER BY i.run_id, i.id`,
};

/** The wake counters of runs that a session owns and for which something has come since. */
const MOVED: Statement = {
  name: 'durable_moved_runs',
  text: (schema) => `SELECT r.id, r.wake_count FROM unnest($2::text[], $3::int[]) AS x(id, wake_count)
CROSS JOIN LATERAL (SELECT id, wake_count FROM ${schema}.workflow_runs WHERE id = x.id AND session_id = $1::bigint LIMIT 1) AS r
WHERE r.wake_count <> x.wake_count`,
};

/** The run that a request to cancel has come to: the one that was named, or the one that goes on in its place. */
export interface CancelSent {
  readonly id: string;
  readonly status: RunStatus;
}

/** What a request to cancel came upon. */
export interface CancelRequested {
  readonly id: string;
  /** The run's status now. */
  readonly status: RunStatus;
  /** Where the run is dispatched; absent when it had ended before. */
  readonly key?: DispatchKey;
  /** The run was cancelled without being executed, and this one has a message that says so; it has not been told. */
  readonly parent?: string;
}

/** Leaves a request to cancel in the run's inbox, then tells the run. Returns undefined when there is no such run. */
export async function requestCancel(
  database: Database,
  runId: string,
  payload: string,
  cancelledError: string,
): Promise<CancelRequested | undefined> {
  const sent = await sendCancel(database, runId, payload);
  return sent && announceCancel(database, sent, cancelledError);
}

/** Leaves a request to cancel in the run's inbox. Undefined when there is no such run. */
export async function sendCancel(database: Database, runId: string, payload: string, client?: ClientBase): Promise<CancelSent | undefined> {
  const [found] = await database.query<[string, RunStatus]>(SEND_CANCEL, [runId, payload], client);
  return found && { id: found[0], status: found[1] };
}

/**
 * Leaves a request to cancel in the run's inbox, in a transaction of the caller; `announceCancel` is for after its commit. Returns the run as the
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
  await manager.query(BUMP_CANCEL.text(database.schema, ''), [[runId], [cancelledError], [null]]);
  await manager.query(CLEAR.text(database.schema, ''), [[runId]]);
}

/** Tells a run, which had that status, that there is a request to cancel in its inbox; the one that goes on in its place where it was continued meanwhile. */
export async function announceCancel(database: Database, { id, status }: CancelSent, cancelledError: string): Promise<CancelRequested> {
  try {
    const told = await tellOfCancel(database, id, cancelledError);
    if (told || isTerminal(status)) return told ?? { id, status };
    const successor = await forwardMessages(database, id);
    return (successor === undefined ? undefined : await tellOfCancel(database, successor, cancelledError)) ?? { id, status };
  } catch (error) {
    // The request is durable; whatever kept the run from being told of it, the inbox sweep will.
    if (faultOf(error) === 'data') throw error;
    return { id, status };
  }
}

/** Tells a run that a request to cancel waits for it. Returns undefined when it has ended. */
export async function tellOfCancel(database: Database, runId: string, cancelledError: string): Promise<CancelRequested | undefined> {
  return (await tellAllOfCancel(database, new Map([[runId, cancelledError]]))).get(runId);
}

/**
 * Tells runs that requests to cancel wait for them.
 *
 * @param cancelledErrors by run: how one ends that has never been executed
 * @param parents by run: who asks; a run of somebody else that has the id is left alone
 * @returns those that had not ended
 */
export async function tellAllOfCancel(
  database: Database,
  cancelledErrors: ReadonlyMap<string, string>,
  parents: ReadonlyMap<string, string> = new Map(),
): Promise<Map<string, CancelRequested>> {
  // In the order in which everybody locks runs.
  const ids = [...cancelledErrors.keys()].sort();
  const errors = ids.map((id) => cancelledErrors.get(id));
  const rows = await database.query<[string, RunStatus, string, string, number, string | null]>(BUMP_CANCEL, [
    ids,
    errors,
    ids.map((id) => parents.get(id) ?? null),
  ]);
  const ended = rows.filter(([, status]) => status === 'cancelled').map(([id]) => id);
  if (ended.length > 0) await database.query(CLEAR, [ended]);
  return new Map(
    rows.map(([id, status, queue, name, version, parent]) => [
      id,
      { id, status, key: { queue, name, version }, ...(parent === null ? {} : { parent }) },
    ]),
  );
}

const OWNED: Statement = {
  name: 'durable_owned_runs',
  text: (schema) =>
    `SELECT ${SERVER}, r.id, r.wake_count, r.epoch, r.history_bytes::float8 FROM (VALUES (1)) AS one
LEFT JOIN ${schema}.workflow_runs r ON r.status = 'running' AND r.session_id = $1::bigint`,
};

/** A run that the database says a session owns. */
export interface OwnedRunRow {
  readonly id: string;
  readonly wakeCount: number;
  readonly epoch: number;
  readonly historyBytes: number;
}

/** Everything that a session owns, and which server says so. */
export async function listOwnedRuns(database: Database, sessionId: string): Promise<{ server: string; rows: OwnedRunRow[] }> {
  const rows = await database.query<[string, string | null, number, number, number]>(OWNED, [sessionId]);
  return {
    server: rows[0]![0],
    rows: rows.flatMap(([, id, wakeCount, epoch, historyBytes]) => (id === null ? [] : [{ id, wakeCount, epoch, historyBytes }])),
  };
}

/** The messages that wait for these runs, oldest first. */
export async function readInbox(database: Database, runIds: readonly string[]): Promise<InboxMessage[]> {
  const rows = await database.query<[string, string, InboxMessage['kind'], string | null, string | null]>(READ, [runIds]);
  return rows.map(([runId, id, kind, name, payload]) => ({ runId, id, kind, name, payload }));
}

/** Of the runs that the session owns, those for which something has come since their counter was read; with the counter as it is now. */
export async function findMovedRuns(
  database: Database,
  sessionId: string,
  seen: readonly { readonly id: string; readonly wakeCount: number }[],
): Promise<{ id: string; wakeCount: number }[]> {
  const values = [sessionId, seen.map((run) => run.id), seen.map((run) => run.wakeCount)];
  const rows = await database.query<[string, number]>(MOVED, values);
  return rows.map(([id, wakeCount]) => ({ id, wakeCount }));
}
