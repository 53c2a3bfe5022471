import type { ClientBase } from 'pg';

import { eventAddressSql } from '../../core/step-key-format.js';
import type { Database, Statement } from '../database.js';
import { TERMINAL } from './run-status.js';

/** A wait for an event, by its key in `workflow_waits`. */
export interface WaitKey {
  readonly runId: string;
  readonly stepKey: string;
}

/** An event that a wait may receive. The payload is present when the wait has a condition. */
export interface Candidate extends WaitKey {
  readonly condition: string | null;
  /** Number of the event; null when no further event is a candidate. */
  readonly seq: string | null;
  readonly payload: string | null;
}

/** Number of events that one query compares with the condition of a wait. */
export const CONDITION_PAGE = 50;

/**
 * Builds a condition that is true while the run has not received the event. A receipt counts while
 * its step is recorded, so that a retry receives the events of removed steps again.
 */
const isFree = (schema: string): string => `(
      SELECT true FROM ${schema}.workflow_event_receipts r WHERE r.run_id = x.run_id AND r.event_seq = e.seq
        AND (r.step_key = '' OR (SELECT true FROM ${schema}.workflow_steps s WHERE s.run_id = r.run_id AND s.step_key = r.step_key LIMIT 1)) LIMIT 1
    ) IS NULL AND (SELECT true FROM ${schema}.workflow_waits o WHERE o.run_id = x.run_id AND o.event_seq = e.seq LIMIT 1) IS NULL`;

/**
 * Finds, for each open wait, the oldest events that its run has not received. A wait without a
 * condition needs only one. The two branches use different indexes, and the key of the wait decides
 * which of them reads anything.
 */
const CANDIDATES: Statement = {
  name: 'durable_event_candidates',
  text: (schema) => {
    const branch = (condition: string): string => `(
    SELECT e.seq, e.happened_at, e.payload FROM ${schema}.workflow_events e
    WHERE ${condition} AND (e.happened_at, e.seq) > (place.at, x.after) AND e.happened_at < 'infinity' AND ${isFree(schema)}
    ORDER BY e.happened_at, e.seq LIMIT CASE WHEN w.event_where IS NULL THEN 1 ELSE ${CONDITION_PAGE} END
  )`;
    return `SELECT x.run_id, x.step_key, w.event_where::text, e.seq::text, CASE WHEN w.event_where IS NOT NULL THEN e.payload::text END
FROM unnest((SELECT $1::text[]), (SELECT $2::text[]), (SELECT $3::bigint[])) AS x(run_id, step_key, after)
CROSS JOIN LATERAL (
  SELECT name, event_key, event_where, event_since FROM ${schema}.workflow_waits
  WHERE run_id = x.run_id AND step_key = x.step_key AND kind = 'event' AND event_seq IS NULL LIMIT 1
) AS w
CROSS JOIN LATERAL (
  SELECT coalesce((SELECT happened_at FROM ${schema}.workflow_events WHERE seq = x.after), w.event_since) AS at
) AS place
LEFT JOIN LATERAL (
  ${branch('w.event_key IS NOT NULL AND e.name = w.name AND e.key = w.event_key')}
  UNION ALL
  ${branch('w.event_key IS NULL AND e.name = w.name')}
) AS e ON true
ORDER BY x.run_id, x.step_key, e.happened_at, e.seq`;
  },
};

/**
 * Finds the oldest events that open waits may receive. Returns no row for a wait that has ended or
 * has received an event, and one row without an event for a wait for which nothing is found.
 *
 * @param waits waits, each with the number of the event after which to look; `'0'` for the first
 */
export async function findCandidates(database: Database, waits: readonly (WaitKey & { readonly after: string })[]): Promise<Candidate[]> {
  const columns = [waits.map(({ runId }) => runId), waits.map(({ stepKey }) => stepKey), waits.map(({ after }) => after)];
  const rows = await database.query<[string, string, string | null, string | null, string | null]>(CANDIDATES, columns);
  return rows.map(([runId, stepKey, condition, seq, payload]) => ({ runId, stepKey, condition, seq, payload }));
}

const ARM: Statement = {
  name: 'durable_arm_event_waits',
  text: (schema, lockTimeout) => `UPDATE ${schema}.workflow_waits w SET event_armed = true
FROM unnest((SELECT $1::text[]), (SELECT $2::text[])) AS x(run_id, step_key)
WHERE w.run_id = ANY (ARRAY[x.run_id]) AND w.step_key = ANY (ARRAY[x.step_key]) AND (w.kind = 'event' AND w.event_armed IS NULL) IS TRUE${lockTimeout}`,
};

/** Records that earlier events were looked for, and that none was found. */
export async function armWaits(database: Database, waits: readonly WaitKey[]): Promise<void> {
  await database.query(ARM, [waits.map(({ runId }) => runId), waits.map(({ stepKey }) => stepKey)]);
}

const DISARM: Statement = {
  name: 'durable_disarm_event_waits',
  text: (schema, lockTimeout) => `UPDATE ${schema}.workflow_waits w SET event_armed = NULL
FROM unnest((SELECT $1::text[]), (SELECT $2::text[])) AS x(run_id, step_key)
WHERE w.run_id = ANY (ARRAY[x.run_id]) AND w.step_key = ANY (ARRAY[x.step_key]) AND (w.kind = 'event' AND w.event_seq IS NULL) IS TRUE${lockTimeout}`,
};

/** Marks waits whose events could not be sent yet, so that the sweep looks for their events. */
export async function disarmWaits(database: Database, waits: readonly WaitKey[]): Promise<void> {
  await database.query(DISARM, [waits.map(({ runId }) => runId), waits.map(({ stepKey }) => stepKey)]);
}

/**
 * Locks runs in the order of their ids. Two processes that send events to one run would otherwise
 * not see each other's changes, and the run could receive an event twice.
 */
const LOCK: Statement = {
  name: 'durable_lock_receivers',
  text: (schema) => `SELECT r.id FROM unnest((SELECT $1::text[])) AS x(id) CROSS JOIN LATERAL (
  SELECT id FROM ${schema}.workflow_runs WHERE id = x.id AND status NOT IN ${TERMINAL} LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
) AS r`,
};

/** Gives each wait its event, unless the wait has ended or the run has received the event. */
const SEND: Statement = {
  name: 'durable_send_events',
  text: (schema) => `WITH met AS (
  UPDATE ${schema}.workflow_waits w SET event_seq = e.seq
  FROM unnest((SELECT $1::text[]), (SELECT $2::text[]), (SELECT $3::bigint[])) AS x(run_id, step_key, event_seq)
  CROSS JOIN LATERAL (SELECT seq, payload, trace_context FROM ${schema}.workflow_events WHERE seq = x.event_seq LIMIT 1) AS e
  WHERE w.run_id = ANY (ARRAY[x.run_id]) AND w.step_key = ANY (ARRAY[x.step_key]) AND (w.kind = 'event' AND w.event_seq IS NULL) IS TRUE
    AND ${isFree(schema)}
  RETURNING w.run_id, w.step_key, e.seq, e.payload, e.trace_context
), sent AS (
  INSERT INTO ${schema}.workflow_inbox (run_id, kind, name, payload, trace_context)
  SELECT run_id, 'event', ${eventAddressSql('seq', 'step_key')}, payload, trace_context FROM met ORDER BY run_id, seq RETURNING 1
)
SELECT run_id, step_key FROM met`,
};

/** Locks the given runs, and returns those that were not locked by another transaction. */
export async function lockReceivers(database: Database, client: ClientBase, runIds: readonly string[]): Promise<Set<string>> {
  const rows = await database.query<[string]>(LOCK, [[...new Set(runIds)].sort()], client);
  return new Set(rows.map(([id]) => id));
}

/**
 * Sends events to waits, in the transaction that has locked the runs. Returns the waits that have
 * received their event. The caller must notify the runs after the commit.
 */
export async function sendEvents(
  database: Database,
  client: ClientBase,
  pairs: readonly (WaitKey & { readonly seq: string })[],
): Promise<WaitKey[]> {
  const columns = [pairs.map(({ runId }) => runId), pairs.map(({ stepKey }) => stepKey), pairs.map(({ seq }) => seq)];
  const rows = await database.query<[string, string]>(SEND, columns, client);
  return rows.map(([runId, stepKey]) => ({ runId, stepKey }));
}

/**
 * Finds waits for which no process has looked for earlier events, because it died after the wait
 * was stored. A partial index contains only such waits.
 */
const UNARMED: Statement = {
  name: 'durable_unarmed_waits',
  text: (schema) => `SELECT run_id, step_key FROM ${schema}.workflow_waits
WHERE kind = 'event' AND event_seq IS NULL AND event_armed IS NULL AND opened_at < now() - interval '5 seconds'
ORDER BY opened_at LIMIT $1`,
};

/** Finds at most `limit` waits whose earlier events no process has looked for. */
export async function findUnarmed(database: Database, limit: number): Promise<WaitKey[]> {
  return (await database.query<[string, string]>(UNARMED, [limit])).map(([runId, stepKey]) => ({ runId, stepKey }));
}

const WAITING: Statement = {
  name: 'durable_waits_of_event',
  text: (schema) => {
    const branch = (condition: string): string => `(
  SELECT w.run_id, w.step_key, w.event_where FROM ${schema}.workflow_waits w
  WHERE w.kind = 'event' AND w.event_seq IS NULL AND w.name = x.name AND ${condition} AND (w.run_id, w.step_key) > (x.run_id, x.step_key)
  ORDER BY w.run_id, w.step_key LIMIT $6
)`;
    return `SELECT x.seq::text, w.run_id, w.step_key, w.event_where::text
FROM unnest((SELECT $1::bigint[]), (SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::text[]), (SELECT $5::text[])) AS x(seq, name, key, run_id, step_key)
CROSS JOIN LATERAL (
  SELECT * FROM (${branch('w.event_key = x.key')} UNION ALL ${branch('w.event_key IS NULL')}) AS found ORDER BY run_id, step_key LIMIT $6
) AS w`;
  },
};

/** An open wait that an event may end. */
export interface WaitOfEvent extends WaitKey {
  readonly seq: string;
  readonly condition: string | null;
}

/**
 * Finds open waits for events: for each event at most `limit` waits, in the order of their keys.
 *
 * @param events events, each with the wait after which to look; empty texts for the first
 */
export async function findWaitsOf(
  database: Database,
  events: readonly { readonly seq: string; readonly name: string; readonly key: string | null; readonly after: WaitKey }[],
  limit: number,
): Promise<WaitOfEvent[]> {
  const rows = await database.query<[string, string, string, string | null]>(WAITING, [
    events.map(({ seq }) => seq),
    events.map(({ name }) => name),
    events.map(({ key }) => key),
    events.map(({ after }) => after.runId),
    events.map(({ after }) => after.stepKey),
    limit,
  ]);
  return rows.map(([seq, runId, stepKey, condition]) => ({ seq, runId, stepKey, condition }));
}
