import type { Database, Statement } from '../database.js';

/**
 * Deletes keys whose next slot has been open for a day. A key without a row has the same next slot.
 * Passes over rows that admissions lock.
 */
const FORGET: Statement = {
  name: 'durable_forget_keys',
  text: (schema) => `WITH old AS MATERIALIZED (
  SELECT a.kind, a.name, a.key FROM ${schema}.workflow_queue_keys a WHERE a.arrival_at < now() - interval '1 day'
  LIMIT $1 FOR UPDATE SKIP LOCKED
)
DELETE FROM ${schema}.workflow_queue_keys a USING old WHERE a.kind = old.kind AND a.name = old.name AND a.key = old.key
RETURNING 1`,
};

/**
 * Deletes keys of queues and step limits that were not used lately. Otherwise an application with a
 * key for each user would keep a row for each user for ever.
 *
 * @param limit largest number of keys to delete
 * @returns number of deleted keys
 */
export async function forgetKeys(database: Database, limit: number): Promise<number> {
  return (await database.query<[number]>(FORGET, [limit])).length;
}
