import type { DispatchKey } from '../../core/run.js';
import type { Database, Statement } from '../database.js';
import { SUSPECT_LOSSES } from './claim-runs.js';

/** Number and age of the due runs of one dispatch key. */
export interface DueRuns extends DispatchKey {
  /** Number of due runs, at most `DUE_COUNTED`. */
  readonly due: number;
  /** Earliest time at which one of these runs became due, in milliseconds since the epoch. */
  readonly oldestDueAt: number;
}

/**
 * Maximum number of due runs that are counted per dispatch key, and of events that are counted. The
 * limit keeps the health check cheap when very many runs are due.
 */
export const DUE_COUNTED = 1_000;

/**
 * Builds the query for due runs. The query moves through the index of due runs from one dispatch
 * key to the next. Within a key, it moves from one priority to the next, and reads the first run of
 * each. That run has been due for longest among the runs of its priority. Each move is one index
 * lookup, however many runs are due.
 */
function dueSql(schema: string): string {
  const isReady = `r.status = 'pending' AND r.worker_losses < ${SUSPECT_LOSSES}`;
  return `WITH RECURSIVE keys AS (
  (SELECT r.queue, r.name, r.version FROM ${schema}.workflow_runs r WHERE ${isReady} ORDER BY r.queue, r.name, r.version LIMIT 1)
  UNION ALL
  SELECT n.queue, n.name, n.version FROM keys k CROSS JOIN LATERAL (
    SELECT r.queue, r.name, r.version FROM ${schema}.workflow_runs r WHERE ${isReady} AND (r.queue, r.name, r.version) > (k.queue, k.name, k.version)
    ORDER BY r.queue, r.name, r.version LIMIT 1) AS n
)
SELECT k.queue, k.name, k.version, counted.due, extract(epoch FROM oldest.at)::float8 * 1000 FROM keys k
CROSS JOIN LATERAL (SELECT count(*)::int AS due FROM (
  SELECT 1 FROM ${schema}.workflow_runs r
  WHERE ${isReady} AND r.queue = k.queue AND r.name = k.name AND r.version = k.version LIMIT ${DUE_COUNTED}) AS counted_rows) AS counted
CROSS JOIN LATERAL (
  WITH RECURSIVE first AS (
    (SELECT r.priority, r.ready_at FROM ${schema}.workflow_runs r WHERE ${isReady} AND r.queue = k.queue AND r.name = k.name AND r.version = k.version
      ORDER BY r.priority DESC, r.ready_at LIMIT 1)
    UNION ALL
    SELECT n.priority, n.ready_at FROM first f CROSS JOIN LATERAL (
      SELECT r.priority, r.ready_at FROM ${schema}.workflow_runs r WHERE ${isReady} AND r.queue = k.queue AND r.name = k.name AND r.version = k.version
        AND r.priority < f.priority ORDER BY r.priority DESC, r.ready_at LIMIT 1) AS n
  ) SELECT min(ready_at) AS at FROM first
) AS oldest
ORDER BY k.queue, k.name, k.version LIMIT 1000`;
}

/** Maximum number of suspects (runs whose workers have died twice or more) that are counted. */
const SUSPECTS_COUNTED = 1_000;

/** Reads the index of suspects, in which the runs with the most lost workers come first. */
const SUSPECTS: Statement = {
  name: 'durable_suspect_kinds',
  text: (schema) => `SELECT queue, name, version, count(*)::int, max(worker_losses)::int,
  (array_agg(id ORDER BY worker_losses DESC, id))[1] FROM (
  SELECT id, queue, name, version, worker_losses FROM ${schema}.workflow_runs
  WHERE status = 'pending' AND worker_losses >= ${SUSPECT_LOSSES} ORDER BY worker_losses DESC, id LIMIT ${SUSPECTS_COUNTED}
) AS r GROUP BY queue, name, version ORDER BY queue, name, version`,
};

/** Due runs of one dispatch key whose workers have died twice or more (suspects). */
export interface SuspectRuns extends DispatchKey {
  /**
   * Number of due runs with this key whose workers died twice or more. Counting stops at
   * `SUSPECTS_COUNTED` such runs in all keys together.
   */
  readonly suspects: number;
  readonly mostLosses: number;
  /** Id of the run whose workers have died most often. */
  readonly exampleRunId: string;
}

/**
 * Counts the due runs whose workers have died twice or more, by dispatch key. Workers execute these
 * runs apart from other runs.
 */
export async function findSuspects(database: Database): Promise<SuspectRuns[]> {
  const rows = await database.query<[string, string, number, number, number, string]>(SUSPECTS, []);
  return rows.map(([queue, name, version, suspects, mostLosses, exampleRunId]) => ({
    queue,
    name,
    version,
    suspects,
    mostLosses,
    exampleRunId,
  }));
}

const DUE: Statement = { name: 'durable_due_runs', text: dueSql };

/** Counts the due runs and finds the oldest, by dispatch key. */
export async function findDueRuns(database: Database): Promise<DueRuns[]> {
  const rows = await database.query<[string, string, number, number, number]>(DUE, []);
  return rows.map(([queue, name, version, due, oldestDueAt]) => ({ queue, name, version, due, oldestDueAt }));
}

/**
 * Number of runs with open waits that `WAITING` reads at each end of the order of ids: the runs
 * with the lowest ids, and as many with the highest ids.
 */
const MAX_READ_RUNS = 1_000;

const WAITING: Statement = {
  name: 'durable_waiting_kinds',
  text: (schema) => `SELECT DISTINCT r.queue, r.name, r.version FROM (
  (SELECT DISTINCT run_id FROM ${schema}.workflow_waits ORDER BY run_id LIMIT ${MAX_READ_RUNS})
  UNION (SELECT DISTINCT run_id FROM ${schema}.workflow_waits ORDER BY run_id DESC LIMIT ${MAX_READ_RUNS})
) AS w CROSS JOIN LATERAL (
  SELECT queue, name, version FROM ${schema}.workflow_runs WHERE id = w.run_id AND status IN ('waiting', 'paused') LIMIT 1
) AS r ORDER BY 1, 2, 3`,
};

/**
 * Finds dispatch keys of waiting and paused runs. Examines only a sample of these runs, so keys may
 * be missing.
 */
export async function findWaitingKinds(database: Database): Promise<DispatchKey[]> {
  const rows = await database.query<[string, string, number]>(WAITING, []);
  return rows.map(([queue, name, version]) => ({ queue, name, version }));
}

/**
 * A worker process, as its row in `workflow_sessions` describes it. Times are in milliseconds since
 * the epoch.
 */
export interface SessionRow {
  readonly id: string;
  readonly host: string;
  readonly pid: number;
  readonly deploymentId: string;
  readonly startedAt: number;
  readonly heartbeatAt: number;
  readonly isExpired: boolean;
  /** Dispatch keys of the runs that the process claims, as `dispatchKeyText` formats them. */
  readonly serves: readonly string[];
}

const SESSIONS: Statement = {
  name: 'durable_list_sessions',
  text: (schema) => `SELECT id::text, host, pid, deployment_id, extract(epoch FROM started_at)::float8 * 1000,
  extract(epoch FROM heartbeat_at)::float8 * 1000, expires_at < now(), serves
FROM ${schema}.workflow_sessions ORDER BY started_at, id LIMIT 1000`,
};

/** Lists the worker processes, oldest first, at most 1,000. */
export async function listSessions(database: Database): Promise<SessionRow[]> {
  const rows = await database.query<[string, string, number, string, number, number, boolean, string[]]>(SESSIONS, []);
  return rows.map(([id, host, pid, deploymentId, startedAt, heartbeatAt, isExpired, serves]) => ({
    id,
    host,
    pid,
    deploymentId,
    startedAt,
    heartbeatAt,
    isExpired,
    serves,
  }));
}

/** Blocked runs of one dispatch key, which wait for a deployment whose code fits their history. */
export interface BlockedRuns extends DispatchKey {
  /**
   * Number of blocked runs with this key. Counting stops at `BLOCKED_COUNTED` runs in all keys
   * together.
   */
  readonly blocked: number;
  /** Id of one of these runs. */
  readonly exampleRunId: string;
}

/** Maximum number of blocked runs that are counted. */
const BLOCKED_COUNTED = 1_000;

const BLOCKED: Statement = {
  name: 'durable_blocked_kinds',
  text: (schema) => `SELECT queue, name, version, count(*)::int, min(id) FROM (
  SELECT id, queue, name, version FROM ${schema}.workflow_runs WHERE status = 'waiting' AND is_blocked ORDER BY id LIMIT ${BLOCKED_COUNTED}
) AS r GROUP BY queue, name, version ORDER BY queue, name, version`,
};

/** Counts the blocked runs, by dispatch key. */
export async function findBlockedRuns(database: Database): Promise<BlockedRuns[]> {
  const rows = await database.query<[string, string, number, number, string]>(BLOCKED, []);
  return rows.map(([queue, name, version, blocked, exampleRunId]) => ({ queue, name, version, blocked, exampleRunId }));
}

const BACKLOGS: Statement = {
  name: 'durable_event_and_schedule_backlogs',
  text: (schema) => `SELECT e.count, e.oldest, s.overdue, s.oldest, f.failing FROM (
  SELECT least(count(*), ${DUE_COUNTED})::int AS count, extract(epoch FROM min(emitted_at))::float8 * 1000 AS oldest FROM (
    (SELECT emitted_at FROM ${schema}.workflow_events WHERE dispatched_at IS NULL ORDER BY seq LIMIT ${DUE_COUNTED})
    UNION ALL (SELECT emitted_at FROM ${schema}.workflow_events WHERE waits_for IS NOT NULL AND dispatched_at IS NOT NULL ORDER BY seq LIMIT ${DUE_COUNTED})
  ) AS counted
) AS e, (
  SELECT count(*)::int AS overdue, extract(epoch FROM min(fire_at))::float8 * 1000 AS oldest FROM (
    SELECT fire_at FROM ${schema}.workflow_schedules WHERE fire_at < now() ORDER BY fire_at LIMIT ${DUE_COUNTED}) AS counted
) AS s, (
  SELECT count(*) FILTER (WHERE failures > 0)::int AS failing FROM (
    SELECT failures FROM ${schema}.workflow_schedules WHERE fire_at IS NOT NULL ORDER BY fire_at LIMIT ${DUE_COUNTED}) AS counted
) AS f`,
};

/** Work of events and schedules that no process has done yet. */
export interface Backlogs {
  /** Number of events that have not reached all their receivers, at most `DUE_COUNTED`. */
  readonly events: number;
  /** Time of the oldest emit, in milliseconds since the epoch; null when no event waits. */
  readonly oldestEmittedAt: number | null;
  /** Number of schedules that are due, at most `DUE_COUNTED`. */
  readonly overdue: number;
  /** Time since which the first of them has been due, in milliseconds since the epoch. */
  readonly oldestFireAt: number | null;
  /** Number of schedules whose last try to start a run failed, of the `DUE_COUNTED` due first. */
  readonly failing: number;
}

/** Counts the events and the schedules that wait for a process. */
export async function countBacklogs(database: Database): Promise<Backlogs> {
  const [row] = await database.query<[number, number | null, number, number | null, number]>(BACKLOGS, []);
  const [events, oldestEmittedAt, overdue, oldestFireAt, failing] = row!;
  return { events, oldestEmittedAt, overdue, oldestFireAt, failing };
}
