import type { Database, Statement } from '../database.js';
import { changeMany, manyRuns } from '../many-runs.js';
import { queuedKeySql } from './places.js';
import { revisionSql } from './queues.js';
import { nextScheduleSql } from './schedules.js';

/**
 * Makes waiting runs due whose wake time has passed. SKIP LOCKED leaves out runs that another
 * process wakes at this moment.
 */
const WAKE_DUE = manyRuns('durable_wake_due', {
  select: (schema, narrow) => `WITH due AS MATERIALIZED (
  SELECT id FROM ${schema}.workflow_runs
  WHERE status = 'waiting' AND wake_at IS NOT NULL AND wake_at <= now()${narrow}
  ORDER BY wake_at LIMIT $1::int FOR NO KEY UPDATE SKIP LOCKED
)`,
  change: (schema) =>
    `UPDATE ${schema}.workflow_runs r SET status = 'pending', ready_at = r.wake_at, wake_at = NULL FROM due WHERE r.id = ANY (ARRAY[due.id]) RETURNING r.id, r.queue, ${queuedKeySql('r')}`,
  selected: 'SELECT id FROM due',
  parameter: 2,
});

const nextWake = (name: string, narrow: string): Statement => ({
  name,
  text: (schema) => `SELECT (SELECT extract(epoch FROM wake_at)::float8 * 1000 FROM ${schema}.workflow_runs
  WHERE status = 'waiting' AND wake_at IS NOT NULL${narrow} ORDER BY wake_at LIMIT 1), ${nextScheduleSql(schema)}, ${revisionSql(schema)}`,
});
const NEXT_WAKE = nextWake('durable_next_wake', '');
const NEXT_WAKE_EXCEPT = nextWake('durable_next_wake_except', ' AND NOT (id = ANY ($1::text[]))');

/** Runs that a timer has made due. */
export interface WokenRuns {
  readonly count: number;
  /** Queues and keys of those runs that wait for a place in their queue. */
  readonly queued: readonly { readonly queue: string; readonly key: string }[];
}

/** Makes waiting runs due whose wake time has passed, at most `limit` of them. */
export async function wakeDueRuns(database: Database, limit: number): Promise<WokenRuns> {
  const { rows } = await changeMany<[string, string, string | null]>(database, WAKE_DUE, [limit], ([id]) => id);
  return { count: rows.length, queued: rows.flatMap(([, queue, key]) => (key === null ? [] : [{ queue, key }])) };
}

/**
 * Next times at which work is due, in milliseconds since the epoch by the database's clock, and
 * whether this process knows the limits of queues.
 */
export interface NextTimes {
  /** Earliest wake time of all waiting runs; undefined when none waits for a time. */
  readonly wakeAt: number | undefined;
  /** Next time at which a schedule needs attention; undefined when no schedule does. */
  readonly scheduleAt: number | undefined;
  /** `changed` when limits of queues have changed since this process has read them. */
  readonly queues: 'same' | 'changed';
}

/**
 * Reads the next times at which work is due. A time is in the past if the work has just become due,
 * or if its row is locked. Leaves out runs that the database refuses to wake. The same statement
 * tells whether the limits of queues have changed, so that every worker follows a change within a
 * second.
 */
export async function nextTimes(database: Database): Promise<NextTimes> {
  const except = database.unwritable.of(WAKE_DUE.all.name);
  type Row = [number | null, number | null, string | null];
  const [row] = await (except.length === 0 ? database.query<Row>(NEXT_WAKE, []) : database.query<Row>(NEXT_WAKE_EXCEPT, [except]));
  const [wakeAt, scheduleAt, revision] = row!;
  const queues = database.queues.isStale(revision) ? 'changed' : 'same';
  return { wakeAt: wakeAt ?? undefined, scheduleAt: scheduleAt ?? undefined, queues };
}
