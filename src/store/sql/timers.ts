import type { Database, Statement } from '../database.js';
import { changeMany, manyRuns } from '../many-runs.js';

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
    `UPDATE ${schema}.workflow_runs r SET status = 'pending', ready_at = r.wake_at, wake_at = NULL FROM due WHERE r.id = ANY (ARRAY[due.id]) RETURNING r.id`,
  selected: 'SELECT id FROM due',
  parameter: 2,
});

const nextWake = (name: string, narrow: string): Statement => ({
  name,
  text: (schema) => `SELECT extract(epoch FROM wake_at)::float8 * 1000 FROM ${schema}.workflow_runs
WHERE status = 'waiting' AND wake_at IS NOT NULL${narrow} ORDER BY wake_at LIMIT 1`,
});
const NEXT_WAKE = nextWake('durable_next_wake', '');
const NEXT_WAKE_EXCEPT = nextWake('durable_next_wake_except', ' AND NOT (id = ANY ($1::text[]))');

/**
 * Makes waiting runs due whose wake time has passed, at most `limit` of them. Returns the number of
 * these runs.
 */
export async function wakeDueRuns(database: Database, limit: number): Promise<number> {
  return (await changeMany<[string]>(database, WAKE_DUE, [limit], ([id]) => id)).rows.length;
}

/**
 * Reads the earliest wake time of all waiting runs, in milliseconds since the epoch by the
 * database's clock. The time is in the past if the run has just become due, or if its row is
 * locked. Leaves out runs that the database refuses to wake.
 */
export async function nextWakeTime(database: Database): Promise<number | undefined> {
  const except = database.unwritable.of(WAKE_DUE.all.name);
  const [row] = await (except.length === 0
    ? database.query<[number]>(NEXT_WAKE, [])
    : database.query<[number]>(NEXT_WAKE_EXCEPT, [except]));
  return row?.[0];
}
