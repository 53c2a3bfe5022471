import type { DispatchKey } from '../../core/run.js';
import type { Database, Statement } from '../database.js';
import { changeMany, manyRuns } from '../many-runs.js';
import { SUSPECT_LOSSES } from './claim-runs.js';
import { queuedKeySql } from './places.js';

/** Announcement to a push transport that a run must be executed. */
export interface WakeUp {
  readonly runId: string;
  readonly queue: string;
  /**
   * Text that is different for each time the run must be executed. A transport may drop an
   * announcement whose `seq` it has already seen.
   */
  readonly seq: string;
  /** Milliseconds until the run is due; zero or negative when it is due. */
  readonly dueInMs: number;
  /** Number of workers that have died with the run. */
  readonly losses: number;
  /** Trace context of the run's start, in the stored form; null when the start was not traced. */
  readonly traceContext: string | null;
}

type Row = [id: string, queue: string, seq: string, dueInMs: number, losses: number, traceContext: string | null];

/** An announcement, with the columns that decide which deployment can execute the run. */
export interface ListedRun extends WakeUp, DispatchKey {
  readonly blockedDeployments: readonly string[];
}

type ListedRow = [...Row, name: string, version: number, blockedDeployments: string[]];

/**
 * SQL for a mark that distinguishes a run (alias `r`) from a deleted run that had the same id. The
 * two runs may have equal epochs and wake counters, and a transport may still know the
 * announcements of the deleted run.
 */
const LIFE = `'n' || r.start_nonce % 1000000`;

const READ: Statement = {
  name: 'durable_read_wake_ups',
  text: (
    schema,
  ) => `SELECT r.id, r.queue, r.epoch || '.' || r.wake_count || CASE WHEN r.status = 'waiting' THEN 't' || floor(extract(epoch FROM now())) ELSE '' END || ${LIFE},
  coalesce(extract(epoch FROM r.wake_at - now())::float8 * 1000, 0), r.worker_losses, r.trace_context, r.name, r.version, coalesce(r.blocked_deployments, '{}')
FROM unnest((SELECT $1::text[])) AS x(id) CROSS JOIN LATERAL (
  SELECT id, start_nonce, queue, epoch, wake_count, status, wake_at, worker_losses, trace_context, name, version, blocked_deployments FROM ${schema}.workflow_runs
  WHERE id = x.id AND (status = 'pending' OR status = 'waiting' AND wake_at IS NOT NULL) LIMIT 1
) AS r`,
};

/**
 * True when two values of `seq` announce the end of the same sleep of a run. Such values differ
 * only in the part after `t`, which is the second in which the row was read.
 */
export function isSameWait(one: string, other: string): boolean {
  return one.split('t')[0] === other.split('t')[0];
}

/**
 * Selects the runs that must be executed, now or at a later time, and returns their announcements.
 */
export async function readWakeUps(database: Database, runIds: readonly string[]): Promise<ListedRun[]> {
  const rows = await database.query<ListedRow>(READ, [runIds]);
  return rows.map(([runId, queue, seq, dueInMs, losses, traceContext, name, version, blockedDeployments]) => {
    return { runId, queue, seq, dueInMs, losses, traceContext, name, version, blockedDeployments };
  });
}

/**
 * Time for which a run must have been due without a claim before it is announced again. Each
 * announcement doubles the time until the next one, up to `MAX_GRACE`.
 */
const GRACE = `interval '1 minute'`;
const MAX_GRACE = `interval '1 hour'`;

/**
 * Finds runs that have been due for longer than an announcement takes to arrive. The announcement
 * of such a run was never sent, or was lost or dropped. Records each repeated announcement, and
 * doubles the pause before the next one, so that a slow transport is not flooded.
 */
const RESEND: Statement = {
  name: 'durable_resend_wake_ups',
  text: (schema) => {
    const seq = `r.epoch || '.' || r.wake_count || ${LIFE}`;
    // A scalar subquery instead of NOT EXISTS: PostgreSQL would turn NOT EXISTS into a join, for
    // which it may read all runs first.
    const lastRecord = `(SELECT o.next_at FROM ${schema}.workflow_outbox o WHERE o.run_id = r.id AND o.seq = ${seq})`;
    const isOverdue = `r.ready_at < now() - ${GRACE} AND (r.blocked_deployments IS NULL OR NOT ($4::text = ANY (r.blocked_deployments)))
      AND coalesce(${lastRecord}, '-infinity') <= now()`;
    return `WITH overdue AS MATERIALIZED (
  (SELECT r.id, r.queue, r.seq, r.trace_context FROM unnest($1::text[], $2::text[], $3::int[]) AS k(queue, name, version) CROSS JOIN LATERAL (
    SELECT r.id, r.queue, ${seq} AS seq, r.trace_context FROM ${schema}.workflow_runs r
    WHERE r.status = 'pending' AND r.worker_losses < ${SUSPECT_LOSSES} AND r.queue = k.queue AND r.name = k.name AND r.version = k.version AND ${isOverdue}
    ORDER BY r.priority DESC, r.ready_at LIMIT $5::int
  ) AS r LIMIT $5::int)
  UNION ALL
  (SELECT r.id, r.queue, ${seq}, r.trace_context FROM ${schema}.workflow_runs r
  WHERE r.status = 'pending' AND r.worker_losses >= ${SUSPECT_LOSSES} AND ${isOverdue}
    AND EXISTS (SELECT 1 FROM unnest($1::text[], $2::text[], $3::int[]) AS k(queue, name, version)
      WHERE r.queue = k.queue AND r.name = k.name AND r.version = k.version)
  ORDER BY r.worker_losses DESC, r.id LIMIT $5::int)
), recorded AS (
  INSERT INTO ${schema}.workflow_outbox AS o (run_id, seq, attempts, next_at)
  SELECT id, seq, 1, now() + 2 * ${GRACE} FROM overdue ORDER BY id
  ON CONFLICT (run_id) DO UPDATE SET seq = excluded.seq,
    attempts = CASE WHEN o.seq = excluded.seq THEN o.attempts + 1 ELSE 1 END,
    next_at = now() + least(${MAX_GRACE}, CASE WHEN o.seq = excluded.seq THEN power(2, least(o.attempts, 10) + 1) ELSE 2 END * ${GRACE})
    WHERE o.next_at <= now() OR o.seq <> excluded.seq
  RETURNING run_id, seq, attempts
)
SELECT recorded.run_id, overdue.queue, recorded.seq || 'r' || recorded.attempts, 0::float8, 0, overdue.trace_context FROM recorded JOIN overdue ON overdue.id = recorded.run_id`;
  },
};

/**
 * Finds due runs of these dispatch keys that must be announced again. Records and returns their
 * announcements: at most `limit` for suspects (runs whose workers died twice or more), and at most
 * `limit` for other runs.
 */
export async function resendWakeUps(
  database: Database,
  keys: readonly DispatchKey[],
  deploymentId: string,
  limit: number,
): Promise<WakeUp[]> {
  const values = [keys.map((key) => key.queue), keys.map((key) => key.name), keys.map((key) => key.version), deploymentId, limit];
  return (await database.query<Row>(RESEND, values)).map(toWakeUp);
}

const FORGET: Statement = {
  name: 'durable_forget_wake_ups',
  text: (schema) => `DELETE FROM ${schema}.workflow_outbox o WHERE o.next_at < now() - interval '1 hour'`,
};

/**
 * Deletes records of repeated announcements that were due for repetition an hour ago. Most of their
 * runs have been executed since. If a run is still due, its announcements begin again with the
 * shortest pause.
 */
export async function forgetWakeUps(database: Database): Promise<void> {
  await database.query(FORGET, []);
}

/**
 * Time after the end of a sleep in which its scheduled message may still arrive. A second message
 * within this time would be useless.
 */
const IN_TRANSIT = `interval '5 seconds'`;

const WAKE = manyRuns('durable_wake_listed', {
  select: (schema, narrow) => `WITH due AS MATERIALIZED (
  SELECT id FROM ${schema}.workflow_runs
  WHERE status = 'waiting' AND wake_at IS NOT NULL AND wake_at <= now() - ${IN_TRANSIT}${narrow}
  ORDER BY wake_at LIMIT $1::int FOR NO KEY UPDATE SKIP LOCKED
)`,
  change: (
    schema,
  ) => `UPDATE ${schema}.workflow_runs r SET status = 'pending', ready_at = r.wake_at, wake_at = NULL FROM due WHERE r.id = ANY (ARRAY[due.id])
RETURNING r.id, r.queue, r.epoch || '.' || r.wake_count || 'w' || ${LIFE}, 0::float8, 0, r.trace_context, ${queuedKeySql('r')}`,
  selected: 'SELECT id FROM due',
  parameter: 2,
});

/** Runs whose wake time has passed. */
export interface WokenRuns {
  /** Announcements of runs that may be executed now. */
  readonly wakeUps: readonly WakeUp[];
  /** Queues and keys of runs that need a place first. They are announced when they get it. */
  readonly queued: readonly { readonly queue: string; readonly key: string }[];
}

/**
 * Makes waiting runs due whose wake time has passed, at most `limit` of them. A run of a queue with
 * limits then waits for its place.
 */
export async function wakeListed(database: Database, limit: number): Promise<WokenRuns> {
  const { rows } = await changeMany<[...Row, queuedKey: string | null]>(database, WAKE, [limit], ([id]) => id);
  const wakeUps: WakeUp[] = [];
  const queued: { queue: string; key: string }[] = [];
  for (const [id, queue, seq, dueInMs, losses, traceContext, key] of rows) {
    if (key === null) wakeUps.push(toWakeUp([id, queue, seq, dueInMs, losses, traceContext]));
    else queued.push({ queue, key });
  }
  return { wakeUps, queued };
}

function toWakeUp([runId, queue, seq, dueInMs, losses, traceContext]: Row): WakeUp {
  return { runId, queue, seq, dueInMs, losses, traceContext };
}
