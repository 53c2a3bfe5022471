import type { Database, Statement } from '../database.js';

/** Wakes due runs. SKIP LOCKED leaves out runs that another process wakes at this moment. */
const WAKE_DUE: Statement = {
  name: 'durable_wake_due',
  text: (schema) => `WITH due AS MATERIALIZED (
  SELECT id FROM ${schema}.workflow_runs
  WHERE status = 'waiting' AND wake_at IS NOT NULL AND wake_at <= now()
  ORDER BY wake_at LIMIT $1::int FOR NO KEY UPDATE SKIP LOCKED
), woken AS (
  UPDATE ${schema}.workflow_runs r SET status = 'pending', ready_at = r.wake_at, wake_at = NULL FROM due WHERE r.id = ANY (ARRAY[due.id]) RETURNING 1
)
SELECT count(*)::int FROM woken`,
};

const NEXT_WAKE: Statement = {
  name: 'durable_next_wake',
  text: (schema) => `SELECT extract(epoch FROM wake_at)::float8 * 1000 FROM ${schema}.workflow_runs
WHERE status = 'waiting' AND wake_at IS NOT NULL ORDER BY wake_at LIMIT 1`,
};

/** Makes up to `limit` waiting runs whose time has come pending. Returns their number. */
export async function wakeDueRuns(database: Database, limit: number): Promise<number> {
  const [row] = await database.query<[number]>(WAKE_DUE, [limit]);
  return row![0];
}

/**
 * Time when the next waiting run is due, in milliseconds since the epoch by the database's clock.
 * In the past for a run that just became due, or is locked.
 */
export async function nextWakeTime(database: Database): Promise<number | undefined> {
  const [row] = await database.query<[number]>(NEXT_WAKE, []);
  return row?.[0];
}
