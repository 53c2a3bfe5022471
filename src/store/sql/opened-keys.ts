import type { Database, Statement } from '../database.js';

/**
 * Milliseconds for which a key counts as just opened. A sweep finds runs of keys that have opened
 * before.
 */
const RECENT_MS = 10_000;

/** Largest number of keys that one statement returns. A sweep finds further ones. */
const MOST_KEYS = 10_000;

/**
 * SQL that is true when a run of the key of `s` waits. The scalar subquery keeps the order of `s`.
 */
const waits = (schema: string): string =>
  `(SELECT true FROM ${schema}.workflow_runs r WHERE r.place = 'queued' AND r.queue = $1 AND r.queue_key = s.key LIMIT 1)`;

/**
 * Looks for keys with waiting runs among the keys whose slot has opened, and for the next slot.
 * Locks nothing. A queue with a limit over all keys returns `all`, because its keys take turns.
 */
const READ: Statement = {
  name: 'durable_opened_keys',
  text: (schema) => `WITH q AS MATERIALIZED (
  SELECT w.name, w.key_interval_ms, w.key_burst, now() + $2::float8 * interval '1 millisecond' AS horizon,
    w.key_interval_ms IS NULL OR w.concurrency IS NOT NULL OR w.interval_ms IS NOT NULL OR w.is_fifo AS is_shared
  FROM ${schema}.workflow_queues w WHERE w.kind = 'queue' AND w.name = $1
), slots AS MATERIALIZED (
  SELECT a.key, s.slot, s.slot <= q.horizon AS is_open FROM q
  JOIN ${schema}.workflow_queue_keys a ON a.kind = 'queue' AND a.name = q.name
  CROSS JOIN LATERAL (
    SELECT ${schema}.workflow_next_slot(a.arrival_at, q.key_interval_ms, q.key_burst, now() - ${RECENT_MS} * interval '1 millisecond') AS slot
  ) AS s
  WHERE NOT q.is_shared AND s.slot > now() - ${RECENT_MS} * interval '1 millisecond'
)
(SELECT 'all', NULL::text, NULL::float8 FROM q WHERE q.is_shared)
UNION ALL (SELECT 'open', s.key, NULL FROM slots s WHERE s.is_open AND ${waits(schema)} ORDER BY s.slot LIMIT ${MOST_KEYS})
-- OFFSET makes the server look for runs in the order of the slots, up to the first key with a run.
UNION ALL (SELECT 'later', NULL, greatest(1, extract(epoch FROM s.slot - now()) * 1000)::float8
  FROM (SELECT * FROM slots WHERE NOT is_open ORDER BY slot OFFSET 0) AS s WHERE ${waits(schema)} LIMIT 1)`,
};

/** Keys of a queue whose rate limits allow more runs. */
export interface OpenedKeys {
  /** Keys with waiting runs; `all` when the queue must look at all keys. */
  readonly keys: readonly string[] | 'all';
  /** Milliseconds until the slot of a further key opens; undefined without such a key. */
  readonly moreMs: number | undefined;
}

/**
 * Reads the keys of a queue whose slot of the rate limit opens within `aheadMs`, or has opened
 * lately.
 */
export async function readOpenedKeys(database: Database, queue: string, aheadMs: number): Promise<OpenedKeys> {
  const rows = await database.query<['all' | 'open' | 'later', string | null, number | null]>(READ, [queue, aheadMs]);
  if (rows.some(([kind]) => kind === 'all')) return { keys: 'all', moreMs: undefined };
  const keys = rows.flatMap(([kind, key]) => (kind === 'open' ? [key!] : []));
  return { keys, moreMs: rows.find(([kind]) => kind === 'later')?.[2] ?? undefined };
}
