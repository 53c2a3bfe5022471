import type { RunEventName } from '../../core/run-events.js';
import type { Database, Statement } from '../database.js';

/**
 * Condition for a run that is still the run of the event. After a deletion, another run may have
 * the same id. The tags of that run may describe another customer.
 */
const IS_SAME_RUN = `r.start_nonce = coalesce((t.facts ->> 'nonce')::bigint, r.start_nonce)`;

/**
 * Takes available events for a time. LATERAL bounds the number of events of each listener, so that
 * a slow listener does not delay the events of others.
 */
const TAKE: Statement = {
  name: 'durable_take_events',
  text: (schema, lockTimeout) => `WITH due AS MATERIALIZED (
  SELECT e.run_id, e.id FROM unnest((SELECT $1::text[]), (SELECT $2::int[])) AS x(listener, room) CROSS JOIN LATERAL (
    SELECT run_id, id FROM ${schema}.workflow_run_events WHERE listener = x.listener AND available_at <= now()
    ORDER BY available_at LIMIT x.room FOR UPDATE SKIP LOCKED
  ) AS e
), taken AS (
  UPDATE ${schema}.workflow_run_events e SET available_at = now() + $3::float8 * interval '1 millisecond', attempts = e.attempts + 1
  FROM due WHERE e.run_id = ANY (ARRAY[due.run_id]) AND e.id = ANY (ARRAY[due.id])
  RETURNING e.run_id, e.id, e.listener, e.event, e.occurred_at, e.attempts, e.facts, e.error, e.tags
)
SELECT t.run_id, t.id::text, t.listener, t.event, extract(epoch FROM t.occurred_at)::float8 * 1000, t.attempts, t.facts,
  coalesce(t.error, CASE WHEN t.event = 'run.blocked' AND ${IS_SAME_RUN} THEN (SELECT l.data FROM ${schema}.workflow_run_log l
    WHERE l.run_id = t.run_id AND l.kind = 'blocked' ORDER BY l.id DESC LIMIT 1) END)::text,
  coalesce(t.tags, (SELECT json_object_agg(g.key, g.value) FROM ${schema}.workflow_tags g WHERE g.run_id = t.run_id AND ${IS_SAME_RUN}))
FROM taken t LEFT JOIN LATERAL (SELECT start_nonce FROM ${schema}.workflow_runs WHERE id = t.run_id LIMIT 1) AS r ON true WHERE true${lockTimeout} ORDER BY t.id`,
};

/**
 * Removes events also when another process has taken them since. The listener was called, so it
 * needs no further call.
 */
const REMOVE: Statement = {
  name: 'durable_remove_events',
  text: (schema, lockTimeout) => `DELETE FROM ${schema}.workflow_run_events e
USING unnest((SELECT $1::text[]), (SELECT $2::bigint[])) AS x(run_id, id)
WHERE e.run_id = ANY (ARRAY[x.run_id]) AND e.id = ANY (ARRAY[x.id])${lockTimeout}`,
};

/** Postpones an event unless a process has taken it since, which has the event for its own time. */
const POSTPONE: Statement = {
  name: 'durable_postpone_event',
  text: (schema, lockTimeout) => `UPDATE ${schema}.workflow_run_events SET available_at = now() + $3::float8 * interval '1 millisecond'
WHERE run_id = $1 AND id = $2::bigint AND attempts = $4${lockTimeout}`,
};

/** Facts of an event, as `recordEvents` has stored them. Times are milliseconds since the epoch. */
export interface EventFacts {
  readonly workflow: string;
  /** The `start_nonce` of the run, as text; absent in events that older versions have recorded. */
  readonly nonce?: string;
  readonly version: number;
  readonly queue: string;
  readonly generation: number;
  readonly status: string;
  readonly createdAt: number;
  readonly startedAt: number | null;
  readonly code?: string | null;
  readonly failedStep?: string | null;
  readonly losses?: number;
  readonly stepKey?: string;
  readonly attempts?: number;
}

/** An event that this process has taken, to call its listener. */
export interface TakenEvent {
  readonly runId: string;
  readonly id: string;
  /** Key of the listener. */
  readonly listener: string;
  readonly event: RunEventName;
  /** Time of the event in milliseconds since the epoch. */
  readonly occurredAt: number;
  /** Number of times that a process has taken the event, with this time. */
  readonly attempt: number;
  readonly facts: EventFacts;
  /** Stored error; null for an event without an error. */
  readonly error: string | null;
  readonly tags: Readonly<Record<string, string>>;
}

type Row = [string, string, string, RunEventName, number, number, EventFacts, string | null, Record<string, string> | null];

/**
 * Takes available events, the oldest first. Nobody else takes them for `leaseMs` milliseconds. If
 * this process dies, another one takes them after that time.
 *
 * @param room maximum number of events to take, by the key of the listener
 */
export async function takeEvents(database: Database, room: ReadonlyMap<string, number>, leaseMs: number): Promise<TakenEvent[]> {
  const rows = await database.query<Row>(TAKE, [[...room.keys()], [...room.values()], leaseMs]);
  return rows.map(([runId, id, listener, event, occurredAt, attempt, facts, error, tags]) => ({
    runId,
    id,
    listener,
    event,
    occurredAt,
    attempt,
    facts,
    error,
    tags: tags ?? {},
  }));
}

/** Removes events whose listeners need no further call. */
export async function removeEvents(database: Database, events: readonly TakenEvent[]): Promise<void> {
  await database.query(REMOVE, [events.map(({ runId }) => runId), events.map(({ id }) => id)]);
}

/**
 * Makes a taken event available again after some time. Has no effect if another process has taken
 * the event since.
 */
export async function postponeEvent(database: Database, { runId, id, attempt }: TakenEvent, delayMs: number): Promise<void> {
  await database.query(POSTPONE, [runId, id, delayMs, attempt]);
}
