import type { Database, Statement } from '../database.js';
import { SERVER } from './server-identity.js';

/**
 * Finds those of a session's runs whose wake counter differs from the value given for the run. Each
 * message or request to a run raises its counter.
 */
const MOVED: Statement = {
  name: 'durable_moved_runs',
  text: (schema) => `SELECT r.id, r.wake_count FROM unnest($2::text[], $3::int[]) AS x(id, wake_count)
CROSS JOIN LATERAL (SELECT id, wake_count FROM ${schema}.workflow_runs WHERE id = x.id AND session_id = $1::bigint LIMIT 1) AS r
WHERE r.wake_count <> x.wake_count`,
};

const OWNED: Statement = {
  name: 'durable_owned_runs',
  text: (schema) =>
    `SELECT ${SERVER}, r.id, r.wake_count, r.epoch, r.history_bytes::float8 FROM (VALUES (1)) AS one
LEFT JOIN ${schema}.workflow_runs r ON r.status = 'running' AND r.session_id = $1::bigint`,
};

/** A run that a session owns according to the database. */
export interface OwnedRunRow {
  readonly id: string;
  readonly wakeCount: number;
  readonly epoch: number;
  readonly historyBytes: number;
}

/**
 * Lists all running runs that a session owns. Also returns the identity of the server that
 * answered.
 */
export async function listOwnedRuns(database: Database, sessionId: string): Promise<{ server: string; rows: OwnedRunRow[] }> {
  const rows = await database.query<[string, string | null, number, number, number]>(OWNED, [sessionId]);
  return {
    server: rows[0]![0],
    rows: rows.flatMap(([, id, wakeCount, epoch, historyBytes]) => (id === null ? [] : [{ id, wakeCount, epoch, historyBytes }])),
  };
}

/**
 * Finds runs of the session that have received a message or request since their wake counter was
 * read. Returns these runs with the current counter.
 */
export async function findMovedRuns(
  database: Database,
  sessionId: string,
  seen: readonly { readonly id: string; readonly wakeCount: number }[],
): Promise<{ id: string; wakeCount: number }[]> {
  const values = [sessionId, seen.map((run) => run.id), seen.map((run) => run.wakeCount)];
  const rows = await database.query<[string, number]>(MOVED, values);
  return rows.map(([id, wakeCount]) => ({ id, wakeCount }));
}
