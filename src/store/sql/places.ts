/** Builds SQL for the key of a run that waits for a place in its queue; NULL for any other run. */
export const queuedKeySql = (run: string): string => `CASE WHEN ${run}.place = 'queued' THEN ${run}.queue_key END`;

/**
 * Builds SQL for the first `place` of a new run: NULL when the queue has no limit, so that nothing
 * else happens for such a run. The trigger of the table decides whether the run waits for a place.
 */
export const placeSql = (schema: string, queue: string): string =>
  `(SELECT 'outside' FROM ${schema}.workflow_queues q WHERE q.kind = 'queue' AND q.name = ${queue} AND q.is_limited LIMIT 1)`;
