import { migration } from './migration.js';

/**
 * Tables of emitted events, and the columns of waits for events. Applications without events write
 * to none of them.
 */
export const Events1764400008000 = migration(
  'Events1764400008000',
  (schema) => `
-- Emitted events. An event waits for the dispatcher while dispatched_at is NULL.
CREATE TABLE ${schema}.workflow_events (
  seq bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
  name text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  key text COLLATE "C",
  payload json NOT NULL,
  emitted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Time from which waits may receive the event. Infinity while the caller's transaction may still
  -- be open: the dispatcher, which sees only committed events, sets the time.
  happened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  dispatched_at timestamptz,
  -- Time until which no other process dispatches the event.
  claimed_until timestamptz NOT NULL DEFAULT '-infinity',
  -- The run that emitted the event by ctx.emit.
  emitter_run_id text COLLATE "C",
  trace_context text,
  CONSTRAINT workflow_events_pkey PRIMARY KEY (seq),
  CONSTRAINT workflow_events_id_key UNIQUE (name, id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.05);

CREATE INDEX workflow_events_pending_idx ON ${schema}.workflow_events (seq) WHERE dispatched_at IS NULL;
CREATE INDEX workflow_events_name_idx ON ${schema}.workflow_events (name, happened_at, seq);
CREATE INDEX workflow_events_key_idx ON ${schema}.workflow_events (name, key, happened_at, seq) WHERE key IS NOT NULL;

-- Events that runs have received. A row counts while its step is recorded.
CREATE TABLE ${schema}.workflow_event_receipts (
  run_id text COLLATE "C" NOT NULL,
  event_seq bigint NOT NULL,
  step_key text COLLATE "C" NOT NULL,
  CONSTRAINT workflow_event_receipts_pkey PRIMARY KEY (run_id, event_seq)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

-- Workflows that an event starts, as the processes with their classes have declared them.
CREATE TABLE ${schema}.workflow_event_subscriptions (
  event text COLLATE "C" NOT NULL,
  workflow text COLLATE "C" NOT NULL,
  -- Id of the subscription; an empty text for the only one of this workflow and event.
  id text COLLATE "C" NOT NULL,
  -- Top-level fields that the payload must have, as JSON text; an empty text for all payloads.
  condition text COLLATE "C" NOT NULL,
  queue text COLLATE "C" NOT NULL,
  confirmed_at timestamptz NOT NULL,
  CONSTRAINT workflow_event_subscriptions_pkey PRIMARY KEY (event, workflow, id, condition)
);

ALTER TABLE ${schema}.workflow_waits
  ADD COLUMN event_key text COLLATE "C",
  ADD COLUMN event_where json,
  -- Time from which events count.
  ADD COLUMN event_since timestamptz,
  -- The event that was sent to the wait.
  ADD COLUMN event_seq bigint,
  -- True once a process has looked for events that happened before the wait was stored.
  ADD COLUMN event_armed boolean;

CREATE INDEX workflow_waits_event_idx ON ${schema}.workflow_waits (name, event_key, run_id, step_key) WHERE kind = 'event' AND event_seq IS NULL;
CREATE INDEX workflow_waits_unarmed_idx ON ${schema}.workflow_waits (opened_at) WHERE kind = 'event' AND event_seq IS NULL AND event_armed IS NULL;
`,
  (schema) => `
DROP INDEX ${schema}.workflow_waits_unarmed_idx, ${schema}.workflow_waits_event_idx;
ALTER TABLE ${schema}.workflow_waits DROP COLUMN event_key, DROP COLUMN event_where, DROP COLUMN event_since, DROP COLUMN event_seq, DROP COLUMN event_armed;
DROP TABLE ${schema}.workflow_event_subscriptions, ${schema}.workflow_event_receipts, ${schema}.workflow_events;
`,
);
