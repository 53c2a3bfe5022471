import { createHash } from 'node:crypto';

import { dispatchKeyText, type DispatchKey } from '../../core/run.js';
import type { Database, Statement } from '../database.js';
import { unlessRefused } from '../many-runs.js';
import { explainLoss, MAX_EXCLUSIVE_LOSSES } from './explain-loss.js';
import { changeOwned, handBackAll, handBackWritable } from './hand-back.js';
import { eventColumns, listenedEvents, recordEvents } from './run-events.js';
import { SERVER } from './server-identity.js';

const OPEN: Statement = {
  name: 'durable_open_session',
  text: (
    schema,
  ) => `INSERT INTO ${schema}.workflow_sessions AS s (id, kind, host, pid, deployment_id, expires_at, holds_lock, serves) OVERRIDING SYSTEM VALUE
VALUES ($1::bigint, 'worker', $2, $3, $4, now() + $5::float8 * interval '1 millisecond', $6, $7::text[])
ON CONFLICT (id) DO UPDATE SET heartbeat_at = now(), expires_at = excluded.expires_at, holds_lock = excluded.holds_lock
RETURNING ${SERVER}, extract(epoch FROM now())::float8 * 1000, ${listenedEvents(schema)}`,
};

const HEARTBEAT: Statement = {
  name: 'durable_heartbeat',
  text: (
    schema,
    lockTimeout,
  ) => `UPDATE ${schema}.workflow_sessions SET heartbeat_at = now(), expires_at = now() + $2::float8 * interval '1 millisecond', holds_lock = $3
WHERE id = $1::bigint${lockTimeout} RETURNING extract(epoch FROM now())::float8 * 1000, ${SERVER}, ${listenedEvents(schema)}`,
};

const CLOSE: Statement = {
  name: 'durable_close_session',
  text: (schema) => `DELETE FROM ${schema}.workflow_sessions WHERE id = $1::bigint`,
};

/**
 * Sets the lock timeout for deleting a session's row. An active flush locks that row, and may take
 * longer than the usual lock timeout of 100 ms.
 */
const LONG_LOCK_TIMEOUT = `SET LOCAL lock_timeout = '5s'`;

/**
 * Maximum time, in multiples of the TTL, without a heartbeat from a session that still holds its
 * lock. Such a process lives, but a step's body blocks its event loop.
 */
const MAX_SILENT_TTLS = 10;

/**
 * Condition on a session (alias `s`): its row says that it holds its advisory lock, and it really
 * holds the lock. The first parameter is the class of the locks.
 */
const IS_HELD = `(s.holds_lock AND EXISTS (
    SELECT 1 FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.classid = $1::int4::oid AND l.objid = (s.id & 2147483647)::oid AND l.objsubid = 2))`;

/**
 * Condition on a session: it was not renewed in time, and no lock shows that its process lives. A
 * lock is ignored when the last heartbeat is older than `MAX_SILENT_TTLS` times the TTL.
 */
const HAS_EXPIRED = `(s.expires_at < now() AND (NOT l.held OR now() > s.heartbeat_at + ${MAX_SILENT_TTLS} * (s.expires_at - s.heartbeat_at)))`;

/** Condition on a session: its row says that it holds its lock, but no process holds that lock. */
const IS_UNLOCKED = '(s.holds_lock AND NOT l.held)';

/** Lists the sessions that appear to be dead, and counts all sessions. */
const SUSPECTS: Statement = {
  name: 'durable_suspect_sessions',
  text: (schema) => `SELECT count(*)::int,
  array_agg(s.id::text) FILTER (WHERE ${HAS_EXPIRED}),
  array_agg(s.id::text) FILTER (WHERE s.expires_at >= now() AND ${IS_UNLOCKED})
FROM ${schema}.workflow_sessions s CROSS JOIN LATERAL (SELECT ${IS_HELD} AS held) l`,
};

const TAKE_OVER_SESSIONS: Statement = {
  name: 'durable_take_over_sessions',
  text: (schema) => `WITH dead AS MATERIALIZED (
  SELECT s.id FROM ${schema}.workflow_sessions s CROSS JOIN LATERAL (SELECT ${IS_HELD} AS held) l
  WHERE s.id = ANY ($2::bigint[]) AND CASE $3::text WHEN 'expired' THEN ${HAS_EXPIRED} ELSE ${IS_UNLOCKED} END ORDER BY s.id FOR UPDATE OF s
)
DELETE FROM ${schema}.workflow_sessions s USING dead WHERE s.id = dead.id RETURNING s.id::text, s.exclusive_run_id`,
};

const takeOverText = (schema: string, narrow: string): string => `WITH lost AS MATERIALIZED (
  SELECT r.id, r.session_id, r.id = ANY ($2::text[]) AS exclusive FROM ${schema}.workflow_runs r
  WHERE r.status = 'running' AND r.session_id = ANY ($1::bigint[])${narrow} ORDER BY r.id FOR NO KEY UPDATE
), logged AS (
  INSERT INTO ${schema}.workflow_run_log (run_id, kind) SELECT id, 'worker_lost' FROM lost
), taken AS (
UPDATE ${schema}.workflow_runs r SET
  session_id = NULL,
  worker_losses = least(r.worker_losses + 1, 30000),
  exclusive_losses = r.exclusive_losses + lost.exclusive::int,
  status = CASE WHEN r.exclusive_losses + lost.exclusive::int >= ${MAX_EXCLUSIVE_LOSSES} THEN 'failed' ELSE 'pending' END,
  finished_at = CASE WHEN r.exclusive_losses + lost.exclusive::int >= ${MAX_EXCLUSIVE_LOSSES} THEN now() END,
  ready_at = CASE WHEN r.exclusive_losses + lost.exclusive::int >= ${MAX_EXCLUSIVE_LOSSES} THEN NULL ELSE now() END
FROM lost WHERE r.id = ANY (ARRAY[lost.id])
RETURNING ${eventColumns('r')}, r.worker_losses, CASE WHEN r.status = 'failed' AND r.parent_step_key IS NOT NULL THEN r.parent_run_id END AS parent,
  lost.session_id::text AS lost_session_id
), events AS (${recordEvents(schema, { from: 'taken r', event: `'run.workerLost'`, facts: `'losses', r.worker_losses` })}
)
SELECT id, status, parent, name, lost_session_id FROM taken`;

const TAKE_OVER_RUNS: Statement = { name: 'durable_take_over_runs', text: (schema) => takeOverText(schema, '') };
const TAKE_OVER_ONLY: Statement = {
  name: 'durable_take_over_runs_only',
  text: (schema) => takeOverText(schema, ' AND r.id = ANY ($3::text[])'),
};

const TAKE_BACK_LOSS: Statement = {
  name: 'durable_take_back_loss',
  text: (schema, lockTimeout) =>
    `UPDATE ${schema}.workflow_runs SET exclusive_losses = exclusive_losses - 1 WHERE id = $1 AND exclusive_losses > 0 AND finished_at IS NULL${lockTimeout}`,
};

/**
 * Computes the class of the advisory locks of the sessions in this schema. A session's lock shows
 * that its process lives.
 */
export function sessionLockClass(database: Database): number {
  return createHash('sha256').update(`nestjs-durable session ${database.schemaName}`).digest().readInt32BE() & 0x7fffffff;
}

/**
 * Creates a session, or renews a session that has this id already. Such a session exists when an
 * earlier attempt created it, but the server's response was lost.
 */
export async function openSession(
  database: Database,
  session: {
    id: string;
    host: string;
    pid: number;
    deploymentId: string;
    ttlMs: number;
    holdsLock: boolean;
    serves?: readonly DispatchKey[];
  },
): Promise<Heartbeat> {
  const { id, host, pid, deploymentId, ttlMs, holdsLock, serves = [] } = session;
  const [row] = await database.query<[string, number, string[] | null]>(OPEN, [
    id,
    host,
    pid,
    deploymentId,
    ttlMs,
    holdsLock,
    serves.map(dispatchKeyText),
  ]);
  const [server, now, listened] = row!;
  return { now, server, listened };
}

/** Values that the database server returns when a session is opened or renewed. */
export interface Heartbeat {
  /** Time of the server, in milliseconds since the epoch. */
  readonly now: number;
  readonly server: string;
  /** Names of the run events for which any process has a listener. */
  readonly listened: readonly string[] | null;
}

/**
 * Executes a statement on a connection that no long statement occupies. Resolves to undefined when
 * the statement was not executed.
 */
export type QuickExecutor = <Row extends unknown[]>(statement: Statement, values: unknown[]) => Promise<Row[] | undefined>;

/**
 * Renews a session.
 *
 * @param executors the connections to try, one after the other
 * @param values called before each try; returns the current values of the session's row
 * @returns the answer of the server; undefined when the session has ended
 */
export async function heartbeat(
  executors: readonly QuickExecutor[],
  values: () => { readonly id: string; readonly ttlMs: number; readonly holdsLock: boolean },
): Promise<Heartbeat | undefined> {
  for (const execute of executors) {
    const { id, ttlMs, holdsLock } = values();
    const rows = await execute<[number, string, string[] | null]>(HEARTBEAT, [id, ttlMs, holdsLock]);
    if (!rows) continue;
    const [row] = rows;
    return row && { now: row[0], server: row[1], listened: row[2] };
  }
  throw new Error('no connection executed the heartbeat');
}

/**
 * Closes a session. Its remaining runs become due for other workers at once, and no loss of a
 * worker is counted for them. Returns the ids of these runs. A run that the database refuses to
 * change is made due later by `handBackOwnerless`.
 */
export async function closeSession(database: Database, id: string): Promise<string[]> {
  return unlessRefused((way) =>
    database.transaction(async (client) => {
      await client.query(LONG_LOCK_TIMEOUT);
      await database.query(CLOSE, [id], client);
      return way === 'together' ? handBackAll(database, client, id) : handBackWritable(database, client, id);
    }),
  );
}

/** Number of sessions in this schema, and the ids of sessions that appear to be dead. */
export interface SessionSurvey {
  readonly count: number;
  readonly expired: readonly string[];
  /**
   * Ids of sessions that have lost the connection with their advisory lock. Their processes may be
   * reconnecting.
   */
  readonly unlocked: readonly string[];
}

export async function surveySessions(database: Database): Promise<SessionSurvey> {
  const [row] = await database.query<[number, string[] | null, string[] | null]>(SUSPECTS, [sessionLockClass(database)]);
  return { count: row![0], expired: row![1] ?? [], unlocked: row![2] ?? [] };
}

type LostRow = [id: string, status: 'pending' | 'failed', parent: string | null, name: string, sessionId: string];

/** A run that was taken from a dead session. */
export interface LostRun {
  readonly id: string;
  readonly status: 'pending' | 'failed';
  /**
   * Id of the parent, if the run has failed. A message about the failure is in the inbox of the
   * parent, but the parent has not been notified.
   */
  readonly parent: string | null;
  readonly name: string;
  readonly sessionId: string;
}

/**
 * Takes over the runs of dead sessions. Makes the runs due, or fails a run that has killed too many
 * workers. First deletes the sessions' rows. The deletion waits for active flushes, which lock
 * these rows, and later flushes find no session and write nothing. Only then does a new statement
 * select the runs, so that it sees everything that the flushes wrote.
 *
 * The evidence is checked again once a session's row is locked. In the meantime the session may
 * have been renewed, may hold its lock again, or may have recorded that it lost the lock.
 *
 * A run that the database refuses to change is left to `handBackOwnerless`.
 *
 * @param evidence reason why the sessions count as dead
 */
export async function takeOver(database: Database, ids: readonly string[], evidence: 'expired' | 'unlocked'): Promise<LostRun[]> {
  return unlessRefused((way) =>
    database.transaction(async (client) => {
      await client.query(LONG_LOCK_TIMEOUT);
      const values = [sessionLockClass(database), ids, evidence];
      const dead = await database.query<[string, string | null]>(TAKE_OVER_SESSIONS, values, client);
      if (dead.length === 0) return [];
      const sessions = dead.map(([id]) => id);
      const exclusive = dead.flatMap(([, runId]) => (runId === null ? [] : [runId]));
      const take = async (only?: readonly string[]): Promise<LostRun[]> => {
        const statement = only ? TAKE_OVER_ONLY : TAKE_OVER_RUNS;
        const rows = await database.query<LostRow>(statement, [sessions, exclusive, ...(only ? [only] : [])], client);
        const lost = rows.map(([id, status, parent, name, sessionId]) => ({ id, status, parent, name, sessionId }));
        const failed = lost.filter((run) => run.status === 'failed');
        for (const { id } of failed) await explainLoss(database, client, id);
        return lost;
      };
      return way === 'together' ? take() : changeOwned(database, client, sessions, take);
    }),
  );
}

/**
 * Subtracts a loss that was counted wrongly. The session of a worker was taken over while the
 * worker executed only this run, but the worker still lives. So the takeover must not count towards
 * failing the run.
 */
export async function takeBackLoss(database: Database, runId: string): Promise<void> {
  await database.query(TAKE_BACK_LOSS, [runId]);
}
