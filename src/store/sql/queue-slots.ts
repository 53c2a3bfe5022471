import type { Database, Statement } from '../database.js';

const RESERVE: Statement = {
  name: 'durable_reserve_slots',
  text: (schema, lockTimeout) =>
    `SELECT extract(epoch FROM ${schema}.workflow_reserve_slot('queue', $1, k.key))::float8 * 1000
FROM unnest($2::text[]) AS k(key)${lockTimeout && ` WHERE true${lockTimeout}`}`,
};

/**
 * Reserves a slot of a queue's rate limits for each of the given keys. Returns the times at which
 * the slots open, in the order of the keys, in milliseconds since the epoch by the database's
 * clock. A time is undefined when the queue has no rate limit.
 */
export async function reserveQueueSlots(database: Database, queue: string, keys: readonly string[]): Promise<(number | undefined)[]> {
  const rows = await database.query<[number | null]>(RESERVE, [queue, keys]);
  return rows.map(([opensAt]) => opensAt ?? undefined);
}
