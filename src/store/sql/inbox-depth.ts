/** Approximate maximum number of signals and hook payloads that may wait for a run. */
const MAX_WAITING = 10_000;
/** Approximate maximum size in bytes of the signals and hook payloads that may wait for a run. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;

/**
 * Builds the common table expression `depth`, which measures a run's inbox for a message that is
 * about to be inserted. `place` and `total` count the messages and the bytes that the run was sent,
 * including this message. The difference between the last and the first message in the inbox shows
 * how much waits. `is_full` is true when the inbox has no room for the message.
 *
 * With a weight of 0 the expression reads nothing. Otherwise it costs two index lookups, however
 * many messages wait. Concurrent senders may compute the same place, so the limits are approximate.
 *
 * @param run name of a common table expression with the id of the run
 * @param weight SQL parameter: the number of messages that this message represents, because the
 * inbox is measured for a sample of the messages only
 * @param payload SQL parameter: the payload of the message
 */
export function depthSql(schema: string, run: string, weight: string, payload: string): string {
  const placed = (order: string): string => `(
    SELECT i.place, i.total FROM ${schema}.workflow_inbox i
    WHERE ${weight}::int > 0 AND i.run_id = (SELECT id FROM ${run}) AND i.place IS NOT NULL ORDER BY i.id ${order} LIMIT 1
  )`;
  return `depth AS MATERIALIZED (
  SELECT CASE WHEN ${weight}::int > 0 THEN coalesce(last.place, 0) + ${weight}::int END AS place,
    CASE WHEN ${weight}::int > 0 THEN coalesce(last.total, 0) + ${weight}::bigint * octet_length(${payload}::json::text) END AS total,
    coalesce(last.place - first.place >= ${MAX_WAITING} OR last.total - first.total + octet_length(${payload}::json::text) > ${MAX_WAITING_BYTES}, false) AS is_full
  FROM (VALUES (1)) AS one LEFT JOIN ${placed('DESC')} AS last ON true LEFT JOIN ${placed('ASC')} AS first ON true
)`;
}
