import type { EventSubscription } from '../../core/event.js';
import type { Database, Statement } from '../database.js';

/** An event that this process dispatches. */
export interface ClaimedEvent {
  readonly seq: string;
  readonly name: string;
  readonly id: string;
  readonly key: string | null;
  readonly traceContext: string | null;
}

/**
 * Claims events for `$2` milliseconds, oldest first. Also sets the time of events from callers'
 * transactions: only now is it certain that these transactions have committed.
 */
const CLAIM: Statement = {
  name: 'durable_claim_events',
  text: (schema, lockTimeout) => `WITH due AS MATERIALIZED (
  SELECT seq FROM ${schema}.workflow_events WHERE dispatched_at IS NULL AND claimed_until < now() ORDER BY seq LIMIT $1 FOR UPDATE SKIP LOCKED
), claimed AS (
  UPDATE ${schema}.workflow_events e SET claimed_until = now() + $2::float8 * interval '1 millisecond',
    happened_at = CASE WHEN e.happened_at = 'infinity' THEN now() ELSE e.happened_at END
  FROM due WHERE e.seq = ANY (ARRAY[due.seq])
  RETURNING e.seq, e.name, e.id, e.key, e.trace_context
)
SELECT seq::text, name, id, key, trace_context FROM claimed WHERE true${lockTimeout} ORDER BY claimed.seq`,
};

/** Claims at most `limit` events that no process dispatches, oldest first. */
export async function claimEvents(database: Database, limit: number, leaseMs: number): Promise<ClaimedEvent[]> {
  const rows = await database.query<[string, string, string, string | null, string | null]>(CLAIM, [limit, leaseMs]);
  return rows.map(([seq, name, id, key, traceContext]) => ({ seq, name, id, key, traceContext }));
}

/**
 * Claims events that wait for the classes of workflows of this process. Only such events are in the
 * index.
 */
const CLAIM_WAITING: Statement = {
  name: 'durable_claim_waiting_events',
  text: (schema, lockTimeout) => `WITH due AS MATERIALIZED (
  SELECT seq FROM ${schema}.workflow_events WHERE waits_for IS NOT NULL AND waits_for && $3::text[] AND claimed_until < now()
  ORDER BY seq LIMIT $1 FOR UPDATE SKIP LOCKED
), claimed AS (
  UPDATE ${schema}.workflow_events e SET claimed_until = now() + $2::float8 * interval '1 millisecond'
  FROM due WHERE e.seq = ANY (ARRAY[due.seq])
  RETURNING e.seq, e.name, e.id, e.key, e.trace_context
)
SELECT seq::text, name, id, key, trace_context FROM claimed WHERE true${lockTimeout} ORDER BY claimed.seq`,
};

/** Claims at most `limit` events that wait for one of these workflows, oldest first. */
export async function claimWaitingEvents(
  database: Database,
  limit: number,
  leaseMs: number,
  workflows: readonly string[],
): Promise<ClaimedEvent[]> {
  const rows = await database.query<[string, string, string, string | null, string | null]>(CLAIM_WAITING, [limit, leaseMs, workflows]);
  return rows.map(([seq, name, id, key, traceContext]) => ({ seq, name, id, key, traceContext }));
}

const STARTED: Statement = {
  name: 'durable_waiting_events_started',
  text: (schema, lockTimeout) => `UPDATE ${schema}.workflow_events e SET claimed_until = '-infinity',
  waits_for = nullif(ARRAY(SELECT w FROM unnest(e.waits_for) AS w WHERE w <> ALL ($2::text[]) ORDER BY w), '{}')
WHERE e.seq = ANY ($1::bigint[])${lockTimeout}`,
};

/** Records that events have started the runs of these workflows, for which the events waited. */
export async function waitingEventsStarted(database: Database, seqs: readonly string[], workflows: readonly string[]): Promise<void> {
  await database.query(STARTED, [seqs, workflows]);
}

const RENEW: Statement = {
  name: 'durable_renew_events',
  text: (schema, lockTimeout) => `UPDATE ${schema}.workflow_events e SET claimed_until = now() + $2::float8 * interval '1 millisecond'
WHERE e.seq = ANY ($1::bigint[]) AND (e.dispatched_at IS NULL OR e.waits_for IS NOT NULL)${lockTimeout}`,
};

/** Keeps events claimed for longer, while their fan-out continues. */
export async function renewEvents(database: Database, seqs: readonly string[], leaseMs: number): Promise<void> {
  await database.query(RENEW, [seqs, leaseMs]);
}

const DISPATCHED: Statement = {
  name: 'durable_events_dispatched',
  text: (schema, lockTimeout) => `UPDATE ${schema}.workflow_events e SET dispatched_at = now(), claimed_until = '-infinity',
  waits_for = (SELECT array_agg(m.workflow ORDER BY m.workflow) FROM unnest((SELECT $2::bigint[]), (SELECT $3::text[])) AS m(seq, workflow) WHERE m.seq = e.seq)
WHERE e.seq = ANY ($1::bigint[])${lockTimeout}`,
};

/** A workflow that a claimed event could not start, because this process lacks the class. */
export interface MissingClass {
  readonly seq: string;
  readonly workflow: string;
}

/**
 * Records that events have reached everyone who was to receive them, except for workflows whose
 * class this process lacks.
 */
export async function eventsDispatched(database: Database, seqs: readonly string[], missing: readonly MissingClass[]): Promise<void> {
  await database.query(DISPATCHED, [seqs, missing.map(({ seq }) => seq), missing.map(({ workflow }) => workflow)]);
}

const PAYLOADS: Statement = {
  name: 'durable_event_payloads',
  text: (schema) => `SELECT seq::text, payload::text FROM ${schema}.workflow_events WHERE seq = ANY ($1::bigint[])`,
};

/** Reads the payloads of events, in the stored form, by the number of the event. */
export async function readEventPayloads(database: Database, seqs: readonly string[]): Promise<Map<string, string>> {
  return new Map(await database.query<[string, string]>(PAYLOADS, [seqs]));
}

const SUBSCRIBE: Statement = {
  name: 'durable_subscribe_workflows',
  // A recent row is left as it is: each start of a process would otherwise write all rows. The rows
  // are sorted, so that two processes lock them in the same order.
  text: (
    schema,
    lockTimeout,
  ) => `INSERT INTO ${schema}.workflow_event_subscriptions AS s (event, workflow, id, condition, queue, needs_class, confirmed_at)
SELECT event, workflow, id, condition, queue, needs_class, now()
FROM unnest((SELECT $1::text[]), (SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::text[]), (SELECT $5::text[]), (SELECT $6::boolean[]))
  AS x(event, workflow, id, condition, queue, needs_class)
WHERE true${lockTimeout}
ORDER BY event, workflow, id, condition
ON CONFLICT (event, workflow, id, condition) DO UPDATE SET confirmed_at = excluded.confirmed_at, queue = excluded.queue, needs_class = excluded.needs_class
WHERE s.queue <> excluded.queue OR s.needs_class <> excluded.needs_class OR s.confirmed_at < excluded.confirmed_at - interval '1 minute'`,
};

/** Stores the subscriptions of the workflows of this process, or confirms them. */
export async function subscribeWorkflows(database: Database, subscriptions: readonly EventSubscription[]): Promise<void> {
  const column = <K extends keyof EventSubscription>(key: K): EventSubscription[K][] => subscriptions.map((each) => each[key]);
  const texts = (['event', 'workflow', 'id', 'condition', 'queue'] as const).map(column);
  await database.query(SUBSCRIBE, [...texts, column('needsClass')]);
}

const SUBSCRIPTIONS: Statement = {
  name: 'durable_event_subscriptions',
  text: (
    schema,
  ) => `SELECT s.event, s.workflow, s.id, s.condition, s.queue, s.needs_class, s.confirmed_at < now() - $2::float8 * interval '1 millisecond'
FROM unnest((SELECT $1::text[])) AS x(event)
CROSS JOIN LATERAL (SELECT * FROM ${schema}.workflow_event_subscriptions WHERE event = x.event OFFSET 0) AS s
ORDER BY s.event, s.workflow, s.id, s.condition`,
};

/** A stored subscription. */
export interface StoredSubscription extends EventSubscription {
  /** True when no process has confirmed the subscription for some time. */
  readonly isOld: boolean;
}

/** Reads the subscriptions to events with these names. */
export async function readSubscriptions(database: Database, events: readonly string[], oldAfterMs: number): Promise<StoredSubscription[]> {
  const rows = await database.query<[string, string, string, string, string, boolean, boolean]>(SUBSCRIPTIONS, [events, oldAfterMs]);
  return rows.map(([event, workflow, id, condition, queue, needsClass, isOld]) => ({
    event,
    workflow,
    id,
    condition,
    queue,
    needsClass,
    isOld,
  }));
}

const UNSUBSCRIBE: Statement = {
  name: 'durable_unsubscribe_workflow',
  text: (schema, lockTimeout) => `DELETE FROM ${schema}.workflow_event_subscriptions
WHERE event = $1 AND workflow = $2 AND id = $3 AND condition = $4 AND confirmed_at < now() - $5::float8 * interval '1 millisecond'${lockTimeout}`,
};

/** Removes a subscription, unless a process has confirmed it meanwhile. */
export async function unsubscribeWorkflow(
  database: Database,
  { event, workflow, id, condition }: EventSubscription,
  oldAfterMs: number,
): Promise<void> {
  await database.query(UNSUBSCRIBE, [event, workflow, id, condition, oldAfterMs]);
}

/**
 * Builds a condition that is true when events wait to be dispatched, when the oldest event is older
 * than the retention, or when a process has died before it looked for the events of a wait. Each
 * part reads one entry of an index.
 *
 * @param retention SQL for the retention in milliseconds
 */
export function hasEventWorkSql(schema: string, retention: string): string {
  return `((SELECT happened_at < now() - ${retention}::float8 * interval '1 millisecond' FROM ${schema}.workflow_events ORDER BY seq LIMIT 1)
  OR (SELECT true FROM ${schema}.workflow_events WHERE dispatched_at IS NULL AND claimed_until < now() LIMIT 1)
  OR (SELECT true FROM ${schema}.workflow_events WHERE waits_for IS NOT NULL AND claimed_until < now() LIMIT 1)
  OR (SELECT true FROM ${schema}.workflow_waits
    WHERE kind = 'event' AND event_seq IS NULL AND event_armed IS NULL AND opened_at < now() - interval '5 seconds' LIMIT 1))`;
}
