import type { Database, Statement } from '../database.js';

/** Place of an event in a listing. */
export interface EventPlace {
  /** Microseconds since the epoch at which the event happened, as text; `infinity` before that. */
  readonly happenedAt: string;
  readonly seq: string;
}

/** Conditions of a listing; null for those that do not apply. Times are milliseconds. */
export interface EventConditions {
  readonly name: string | null;
  readonly key: string | null;
  readonly id: string | null;
  readonly after: number | null;
  readonly before: number | null;
}

/** A stored event. Times are milliseconds since the epoch. */
export interface EventRow extends EventPlace {
  readonly name: string;
  readonly id: string;
  readonly key: string | null;
  readonly payload: string;
  readonly emittedAt: number;
  readonly dispatchedAt: number | null;
  readonly emitterRunId: string | null;
}

const ms = (column: string): string => `extract(epoch FROM ${column})::float8 * 1000`;

const COLUMNS = `e.seq::text, CASE WHEN e.happened_at = 'infinity' THEN 'infinity' ELSE (extract(epoch FROM e.happened_at) * 1000000)::bigint::text END,
  e.name, e.id, e.key, e.payload::text, ${ms('e.emitted_at')}, CASE WHEN e.waits_for IS NULL THEN ${ms('e.dispatched_at')} END, e.emitter_run_id`;

/** Builds the condition on the place of the cursor. Events that have not happened come first. */
const BEFORE_PLACE = `($7::text IS NULL OR (e.happened_at, e.seq) < (
    CASE WHEN $6::text = 'infinity' THEN 'infinity'::timestamptz ELSE 'epoch'::timestamptz + $6::text::float8 * interval '1 microsecond' END, $7::text::bigint))`;

/** Builds the condition on the place of the cursor in a listing of all names. */
const BEFORE_SEQ = '($7::text IS NULL OR e.seq < $7::text::bigint)';

const FILTER = `($4::float8 IS NULL OR e.emitted_at >= to_timestamp($4::float8 / 1000))
  AND ($5::float8 IS NULL OR e.emitted_at < to_timestamp($5::float8 / 1000))`;

/**
 * Names of the stored events. Reads one entry of an index for each name. An id alone has no index,
 * and few names are in use.
 */
const namesSql = (schema: string): string => {
  const next = (condition: string): string => `(SELECT e.name FROM ${schema}.workflow_events e WHERE ${condition} ORDER BY e.name LIMIT 1)`;
  return `names AS (
  ${next('$1::text IS NULL AND $3::text IS NOT NULL')}
  UNION ALL
  SELECT ${next('e.name > n.name')} FROM names AS n WHERE n.name IS NOT NULL
)`;
};

/**
 * Lists events in the order in which they happened, newest first. Each branch reads one index, and
 * the parameters decide which branch reads anything.
 */
const LIST: Statement = {
  name: 'durable_list_events',
  text: (schema) => {
    const branch = (condition: string, order: string, place: string): string => `(
  SELECT e.* FROM ${schema}.workflow_events e WHERE ${condition} AND ${FILTER} AND ${place} ORDER BY ${order} LIMIT $8
)`;
    return `WITH RECURSIVE ${namesSql(schema)} SELECT ${COLUMNS} FROM (
  ${branch('$1::text IS NOT NULL AND $3::text IS NOT NULL AND e.name = $1 AND e.id = $3 AND ($2::text IS NULL OR e.key = $2)', 'e.happened_at DESC, e.seq DESC', BEFORE_PLACE)}
  UNION ALL
  ${branch('$1::text IS NOT NULL AND $2::text IS NOT NULL AND $3::text IS NULL AND e.name = $1 AND e.key = $2', 'e.happened_at DESC, e.seq DESC', BEFORE_PLACE)}
  UNION ALL
  ${branch('$1::text IS NOT NULL AND $2::text IS NULL AND $3::text IS NULL AND e.name = $1', 'e.happened_at DESC, e.seq DESC', BEFORE_PLACE)}
  UNION ALL
  ${branch('$1::text IS NULL AND $3::text IS NULL', 'e.seq DESC', BEFORE_SEQ)}
  UNION ALL
  (SELECT e.* FROM names AS n CROSS JOIN LATERAL ${branch('e.name = n.name AND e.id = $3', 'e.seq', BEFORE_SEQ)} AS e ORDER BY e.seq DESC LIMIT $8)
) AS e ORDER BY CASE WHEN $1::text IS NULL THEN NULL ELSE e.happened_at END DESC, e.seq DESC LIMIT $8`;
  },
};

/** Lists at most `limit` events, newest first: by name in the order in which they happened. */
export async function listEvents(
  database: Database,
  { name, key, id, after, before }: EventConditions,
  place: EventPlace | undefined,
  limit: number,
): Promise<EventRow[]> {
  const rows = await database.query<[string, string, string, string, string | null, string, number, number | null, string | null]>(LIST, [
    name,
    key,
    id,
    after,
    before,
    place?.happenedAt ?? null,
    place?.seq ?? null,
    limit,
  ]);
  return rows.map(([seq, happenedAt, ...rest]) => {
    const [eventName, eventId, eventKey, payload, emittedAt, dispatchedAt, emitterRunId] = rest;
    return { seq, happenedAt, name: eventName, id: eventId, key: eventKey, payload, emittedAt, dispatchedAt, emitterRunId };
  });
}

const REDELIVER: Statement = {
  name: 'durable_redeliver_event',
  text: (schema, lockTimeout) => `UPDATE ${schema}.workflow_events e SET dispatched_at = NULL, claimed_until = '-infinity', waits_for = NULL
WHERE e.name = $1 AND e.id = $2${lockTimeout} RETURNING 1`,
};

/** Makes an event due for another dispatch. Returns false when no such event is stored. */
export async function redeliverEvent(database: Database, name: string, id: string): Promise<boolean> {
  return (await database.query(REDELIVER, [name, id])).length > 0;
}

/**
 * Deletes the oldest events, and passes over those that were not dispatched or wait for a class.
 * The rows are read in the order of the primary key, so a deletion reads few events that are kept.
 * Locks only the events that it deletes.
 */
const EXPIRE: Statement = {
  name: 'durable_expire_events',
  text: (schema, lockTimeout) => {
    const isOver = "dispatched_at IS NOT NULL AND waits_for IS NULL AND happened_at < now() - $1::float8 * interval '1 millisecond'";
    return `WITH oldest AS MATERIALIZED (
  SELECT seq, happened_at, dispatched_at, waits_for FROM ${schema}.workflow_events
  WHERE dispatched_at IS NOT NULL AND waits_for IS NULL ORDER BY seq LIMIT $2
), locked AS MATERIALIZED (
  SELECT e.seq FROM (SELECT seq FROM oldest WHERE ${isOver}) AS o CROSS JOIN LATERAL (
    SELECT seq FROM ${schema}.workflow_events WHERE seq = o.seq AND ${isOver} LIMIT 1 FOR UPDATE SKIP LOCKED
  ) AS e
)
DELETE FROM ${schema}.workflow_events e USING locked WHERE e.seq = ANY (ARRAY[locked.seq])${lockTimeout} RETURNING 1`;
  },
};

/** Deletes dispatched events that are older than the retention. Returns the number of events. */
export async function expireEvents(database: Database, retentionMs: number, limit: number): Promise<number> {
  return (await database.query(EXPIRE, [retentionMs, limit])).length;
}
