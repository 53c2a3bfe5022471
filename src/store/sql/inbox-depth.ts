/** The most signals and payloads for hooks that may wait for a run, about. */
const MAX_WAITING = 10_000;
/** The most bytes of them, about. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;

/**
 * Common table expressions that find out how much waits for a run: `depth`, with the `place` and `total` of a message that is about to be inserted, and
 * whether the run `is_full`. With a weight of 0 they look at nothing. Two lookups by index, however much waits; senders at the same moment may count one
 * place twice, so the bounds hold about.
 *
 * @param run a common table expression with the id of the run
 * @param weight parameter: for how many messages this one stands
 * @param payload parameter: the message's
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
