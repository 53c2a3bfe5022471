import type { RunListener } from '../../core/run-events.js';
import type { Database, Statement } from '../database.js';
import { listenedEvents } from './run-events.js';

const SUBSCRIBE: Statement = {
  name: 'durable_subscribe',
  // A recent row is left as it is. Each start of a process would otherwise write all rows. The rows
  // are sorted, so that two processes lock them in the same order.
  text: (schema, lockTimeout) => `INSERT INTO ${schema}.workflow_subscriptions AS s (listener, event, workflow, expires_at)
SELECT listener, event, workflow, now() + $4::float8 * interval '1 millisecond'
FROM unnest((SELECT $1::text[]), (SELECT $2::text[]), (SELECT $3::text[])) AS x(listener, event, workflow) WHERE true${lockTimeout}
ORDER BY listener
ON CONFLICT (listener) DO UPDATE SET expires_at = excluded.expires_at
WHERE s.expires_at < excluded.expires_at - $5::float8 * interval '1 millisecond'`,
};

const LISTENED: Statement = { name: 'durable_listened_events', text: (schema) => `SELECT ${listenedEvents(schema)}` };

/**
 * Lists listeners whose subscription has expired. The minute outlasts statements that still saw the
 * subscription.
 */
const EXPIRED: Statement = {
  name: 'durable_expired_subscriptions',
  text: (schema) =>
    `SELECT listener FROM ${schema}.workflow_subscriptions WHERE expires_at < now() - interval '1 minute' ORDER BY listener`,
};

/**
 * The listener may have come back since it was listed. So the statement checks the subscription
 * again, and locks it: a process that renews the subscription waits, and records events afterwards.
 */
const FORGET_EVENTS: Statement = {
  name: 'durable_forget_events',
  text: (schema) => `WITH gone AS MATERIALIZED (
  SELECT listener FROM ${schema}.workflow_subscriptions
  WHERE listener = $1 AND expires_at < now() - interval '1 minute' FOR UPDATE SKIP LOCKED
), old AS MATERIALIZED (
  SELECT run_id, id FROM ${schema}.workflow_run_events
  WHERE listener = (SELECT listener FROM gone) ORDER BY available_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
DELETE FROM ${schema}.workflow_run_events e USING old WHERE e.run_id = ANY (ARRAY[old.run_id]) AND e.id = ANY (ARRAY[old.id]) RETURNING 1`,
};

const UNSUBSCRIBE: Statement = {
  name: 'durable_unsubscribe',
  text: (
    schema,
    lockTimeout,
  ) => `DELETE FROM ${schema}.workflow_subscriptions s WHERE listener = $1 AND expires_at < now() - interval '1 minute'
  AND NOT EXISTS (SELECT 1 FROM ${schema}.workflow_run_events e WHERE e.listener = s.listener)${lockTimeout}`,
};

/**
 * Records that these listeners exist, for `ttlMs` milliseconds from now. From then on, every
 * process records their events.
 *
 * @param renewAfterMs age in milliseconds below which an existing subscription is not written again
 * @returns names of the events for which any listener exists
 */
export async function subscribe(
  database: Database,
  listeners: readonly RunListener[],
  { ttlMs, renewAfterMs }: { readonly ttlMs: number; readonly renewAfterMs: number },
): Promise<readonly string[] | null> {
  const columns = [listeners.map(({ key }) => key), listeners.map(({ event }) => event), listeners.map(({ workflow }) => workflow)];
  await database.query(SUBSCRIBE, [...columns, ttlMs, renewAfterMs]);
  const [row] = await database.query<[readonly string[] | null]>(LISTENED, []);
  return row![0];
}

/** Finds listeners that no process has had for longer than their subscription lasts. */
export async function findExpiredListeners(database: Database): Promise<string[]> {
  return (await database.query<[string]>(EXPIRED, [])).map(([key]) => key);
}

/**
 * Removes events of an expired listener. Removes none if the listener has come back.
 *
 * @returns number of removed events
 */
export async function forgetEvents(database: Database, listener: string, limit: number): Promise<number> {
  return (await database.query(FORGET_EVENTS, [listener, limit])).length;
}

/** Removes the subscription of an expired listener that has no events left. */
export async function unsubscribe(database: Database, listener: string): Promise<void> {
  await database.query(UNSUBSCRIBE, [listener]);
}
