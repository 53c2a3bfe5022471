import type { DispatchKey, RunStatus } from '../../core/run.js';
import { faultOf } from '../database-errors.js';
import type { Database, Statement } from '../database.js';

/** A message to a run that has not been taken. */
export interface InboxMessage {
  readonly runId: string;
  readonly id: string;
  readonly kind: 'cancel';
  /** JSON text. */
  readonly payload: string | null;
}

const SEND_CANCEL: Statement = {
  name: 'durable_send_cancel',
  text: (schema) => `WITH run AS (
  SELECT id, status FROM ${schema}.workflow_runs WHERE id = $1
), sent AS (
  INSERT INTO ${schema}.workflow_inbox (run_id, kind, payload)
  SELECT id, 'cancel', $2::json FROM run WHERE status NOT IN ('completed', 'failed', 'cancelled') RETURNING 1
), noted AS (
  INSERT INTO ${schema}.workflow_events (run_id, kind, data) SELECT $1, 'cancel_requested', $2::json FROM sent
)
SELECT status FROM run`,
};

/**
 * A run that has never been executed has nothing to clean up and is cancelled here; a waiting one becomes due; one that is running is told by
 * its counter alone, because only its owner may change it.
 */
const BUMP_CANCEL: Statement = {
  name: 'durable_bump_cancel',
  text: (schema, patience) => `UPDATE ${schema}.workflow_runs SET
  wake_count = wake_count + 1,
  cancel_requested_at = coalesce(cancel_requested_at, now()),
  status = CASE WHEN status IN ('pending', 'waiting') AND started_at IS NULL THEN 'cancelled' WHEN status = 'waiting' THEN 'pending' ELSE status END,
  finished_at = CASE WHEN status IN ('pending', 'waiting') AND started_at IS NULL THEN now() END,
  error = CASE WHEN status IN ('pending', 'waiting') AND started_at IS NULL THEN $2::json END,
  ready_at = CASE WHEN status = 'waiting' AND started_at IS NOT NULL THEN now() WHEN status = 'pending' AND started_at IS NOT NULL THEN ready_at END,
  wake_at = CASE WHEN status = 'waiting' THEN NULL ELSE wake_at END
WHERE id = $1 AND status NOT IN ('completed', 'failed', 'cancelled')${patience}
RETURNING status, queue, name, version`,
};

const CLEAR: Statement = {
  name: 'durable_clear_inbox',
  text: (schema, patience) => `DELETE FROM ${schema}.workflow_inbox WHERE run_id = $1${patience}`,
};

const READ: Statement = {
  name: 'durable_read_inbox',
  text: (schema) =>
    `SELECT i.run_id, i.id::text, i.kind, i.payload::text FROM unnest((SELECT $1::text[])) AS x(id)
CROSS JOIN LATERAL (SELECT * FROM ${schema}.workflow_inbox WHERE run_id = x.id OFFSET 0) AS i ORDER BY i.run_id, i.id`,
};

/** The wake counters of runs that a session owns and for which something has come since. */
const MOVED: Statement = {
  name: 'durable_moved_runs',
  text: (schema) => `SELECT r.id, r.wake_count FROM unnest($2::text[], $3::int[]) AS x(id, wake_count)
CROSS JOIN LATERAL (SELECT id, wake_count FROM ${schema}.workflow_runs WHERE id = x.id AND session_id = $1::bigint LIMIT 1) AS r
WHERE r.wake_count <> x.wake_count`,
};

/** What a request to cancel came upon. */
export interface CancelRequested {
  /** The run's status now. */
  readonly status: RunStatus;
  /** Where the run is dispatched; absent when it had ended before. */
  readonly key?: DispatchKey;
}

/** Leaves a request to cancel in the run's inbox, then tells the run. Returns undefined when there is no such run. */
export async function requestCancel(
  database: Database,
  runId: string,
  payload: string,
  cancelledError: string,
): Promise<CancelRequested | undefined> {
  const [found] = await database.query<[RunStatus]>(SEND_CANCEL, [runId, payload]);
  if (!found) return undefined;
  let bumped: [RunStatus, string, string, number] | undefined;
  try {
    [bumped] = await database.query<[RunStatus, string, string, number]>(BUMP_CANCEL, [runId, cancelledError]);
  } catch (error) {
    // The request is durable; whatever kept the run from being told of it, the inbox sweep will.
    if (faultOf(error) === 'data') throw error;
    return { status: found[0] };
  }
  if (!bumped) return { status: found[0] };
  const [status, queue, name, version] = bumped;
  if (status === 'cancelled') await database.query(CLEAR, [runId]);
  return { status, key: { queue, name, version } };
}

const OWNED: Statement = {
  name: 'durable_owned_runs',
  text: (schema) =>
    `SELECT id, wake_count, epoch, history_bytes::float8 FROM ${schema}.workflow_runs WHERE status = 'running' AND session_id = $1::bigint`,
};

/** A run that the database says a session owns. */
export interface OwnedRunRow {
  readonly id: string;
  readonly wakeCount: number;
  readonly epoch: number;
  readonly historyBytes: number;
}

/** Everything that a session owns. */
export async function listOwnedRuns(database: Database, sessionId: string): Promise<OwnedRunRow[]> {
  const rows = await database.query<[string, number, number, number]>(OWNED, [sessionId]);
  return rows.map(([id, wakeCount, epoch, historyBytes]) => ({ id, wakeCount, epoch, historyBytes }));
}

/** The messages that wait for these runs, oldest first. */
export async function readInbox(database: Database, runIds: readonly string[]): Promise<InboxMessage[]> {
  const rows = await database.query<[string, string, 'cancel', string | null]>(READ, [runIds]);
  return rows.map(([runId, id, kind, payload]) => ({ runId, id, kind, payload }));
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
