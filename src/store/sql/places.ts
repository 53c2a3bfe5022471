/** Builds SQL for the key of a run that waits for a place in its queue; NULL for any other run. */
export const queuedKeySql = (run: string): string => `CASE WHEN ${run}.place = 'queued' THEN ${run}.queue_key END`;

/**
 * Builds SQL for the first `place` of a new run: NULL when the queue has no limit, so that nothing
 * else happens for such a run. The trigger of the table decides whether the run waits for a place.
 */
export const placeSql = (schema: string, queue: string): string =>
  `(SELECT 'outside' FROM ${schema}.workflow_queues q WHERE q.kind = 'queue' AND q.name = ${queue} AND q.is_limited LIMIT 1)`;

/**
 * Builds SQL that describes what a run in its queue waits for; NULL for a run that does not wait
 * for a place. The position counts the runs before this one with the same key, up to 1,000.
 */
export const queueWaitSql = (schema: string): string => {
  const held = (condition: string, limit: string): string =>
    `(SELECT count(*) FROM (SELECT 1 FROM ${schema}.workflow_runs h WHERE h.queue = r.queue${condition} AND h.place IN ('admitted', 'kept') LIMIT ${limit}) AS held) >= ${limit}`;
  return `CASE WHEN r.place = 'queued' THEN (SELECT json_build_object('key', nullif(r.queue_key, ''), 'limit', CASE
    WHEN q.is_paused THEN 'paused'
    WHEN q.key_concurrency IS NOT NULL AND r.queue_key <> '' AND ${held(' AND h.queue_key = r.queue_key', 'q.key_concurrency')} THEN 'key.concurrency'
    WHEN q.concurrency IS NOT NULL AND ${held('', 'q.concurrency')} THEN 'concurrency'
    WHEN q.interval_ms IS NOT NULL THEN 'rateLimit'
    WHEN q.key_interval_ms IS NOT NULL THEN 'key.rateLimit'
    ELSE 'concurrency' END,
    'position', (SELECT count(*) FROM (
      SELECT 1 FROM ${schema}.workflow_runs b WHERE b.place = 'queued' AND b.queue = r.queue AND b.queue_key = r.queue_key
        AND ((b.started_at IS NULL), -b.priority, b.ready_at, b.id) < ((r.started_at IS NULL), -r.priority, r.ready_at, r.id) LIMIT 1000) AS before)::int)
    FROM ${schema}.workflow_queues q WHERE q.kind = 'queue' AND q.name = r.queue) END`;
};
