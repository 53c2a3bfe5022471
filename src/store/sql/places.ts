/** Builds SQL for the key of a run that waits for a place in its queue; NULL for any other run. */
export const queuedKeySql = (run: string): string => `CASE WHEN ${run}.place = 'queued' THEN ${run}.queue_key END`;

/**
 * Builds SQL for the key of a run that has just lost its place; NULL for any other run. `before` is
 * the locked row, and `run` the changed one.
 */
export const freedKeySql = (before: string, run: string): string =>
  `CASE WHEN ${before}.place IN ('admitted', 'kept') AND ${run}.place NOT IN ('admitted', 'kept') THEN ${run}.queue_key END`;

/**
 * Builds SQL for the first `place` of a new run: NULL when the queue has no limit, so that nothing
 * else happens for such a run. The trigger of the table decides whether the run waits for a place.
 */
export const placeSql = (schema: string, queue: string): string =>
  `(SELECT 'outside' FROM ${schema}.workflow_queues q WHERE q.kind = 'queue' AND q.name = ${queue} AND q.is_limited LIMIT 1)`;

/** Builds SQL that is true when all places of a limit are taken, among the runs `h`. */
const isHeldSql = (schema: string, condition: string, limit: string): string =>
  `(SELECT count(*) FROM (SELECT 1 FROM ${schema}.workflow_runs h WHERE ${condition} AND h.place IN ('admitted', 'kept') LIMIT ${limit}) AS held) >= ${limit}`;

/** Builds SQL for the limit of queue `q` that admits no more runs with the key of `run`. */
const limitSql = (schema: string, run: string, isFull: string): string => `CASE
    WHEN q.is_paused THEN 'paused'
    WHEN q.key_concurrency IS NOT NULL AND ${run}.queue_key <> ''
      AND ${isHeldSql(schema, `h.queue = ${run}.queue AND h.queue_key = ${run}.queue_key`, 'q.key_concurrency')} THEN 'key.concurrency'
    WHEN ${isFull} THEN 'concurrency'
    WHEN q.interval_ms IS NOT NULL THEN 'rateLimit'
    WHEN q.key_interval_ms IS NOT NULL THEN 'key.rateLimit'
    ELSE 'concurrency' END`;

/**
 * Builds the query for the limits that keep runs waiting, by queue ($1) and key ($2). Counts the
 * places of a queue once, however many keys are wanted.
 */
export const waitedLimitsSql = (schema: string): string => `WITH q AS MATERIALIZED (
  SELECT q.*, q.concurrency IS NOT NULL AND ${isHeldSql(schema, 'h.queue = q.name', 'q.concurrency')} AS is_full
  FROM ${schema}.workflow_queues q WHERE q.kind = 'queue' AND q.name = ANY ($1::text[])
)
SELECT w.queue, w.queue_key, ${limitSql(schema, 'w', 'q.is_full')}
FROM unnest($1::text[], $2::text[]) AS w(queue, queue_key) JOIN q ON q.name = w.queue`;

/**
 * Builds SQL that describes what a run in its queue waits for; NULL for a run that does not wait
 * for a place. The position counts the runs before this one with the same key, up to 1,000.
 */
export const queueWaitSql = (schema: string): string => {
  const isFull = `q.concurrency IS NOT NULL AND ${isHeldSql(schema, 'h.queue = r.queue', 'q.concurrency')}`;
  return `CASE WHEN r.place = 'queued' THEN (SELECT json_build_object('key', nullif(r.queue_key, ''), 'limit', ${limitSql(schema, 'r', isFull)},
    'position', (SELECT count(*) FROM (
      SELECT 1 FROM ${schema}.workflow_runs b WHERE b.place = 'queued' AND b.queue = r.queue AND b.queue_key = r.queue_key
        AND ((b.started_at IS NULL), -b.priority, b.ready_at, b.id) < ((r.started_at IS NULL), -r.priority, r.ready_at, r.id) LIMIT 1000) AS before)::int)
    FROM ${schema}.workflow_queues q WHERE q.kind = 'queue' AND q.name = r.queue) END`;
};
