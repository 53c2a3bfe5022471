import { migration } from './migration.js';

/**
 * Tables of run events and of the listeners that receive them. Applications without listeners write
 * to neither.
 */
export const Listeners1764400002000 = migration(
  'Listeners1764400002000',
  (schema) => `
-- Listeners of all processes, with the event that each receives. The empty text in "workflow" means
-- all workflows.
CREATE TABLE ${schema}.workflow_subscriptions (
  listener text COLLATE "C" NOT NULL,
  event text COLLATE "C" NOT NULL,
  workflow text COLLATE "C" NOT NULL,
  expires_at timestamptz NOT NULL,
  CONSTRAINT workflow_subscriptions_pkey PRIMARY KEY (listener)
);

-- One row for each event and listener, from the commit of the event until the listener was called.
CREATE TABLE ${schema}.workflow_run_events (
  run_id text COLLATE "C" NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
  listener text COLLATE "C" NOT NULL,
  event text COLLATE "C" NOT NULL,
  occurred_at timestamptz NOT NULL DEFAULT now(),
  -- Time from which a process may take the event: a later one while a process has taken the event,
  -- or while the event waits for its next attempt.
  available_at timestamptz NOT NULL DEFAULT now(),
  attempts integer NOT NULL DEFAULT 0,
  facts json NOT NULL,
  error json,
  CONSTRAINT workflow_run_events_pkey PRIMARY KEY (run_id, id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.05);

CREATE INDEX workflow_run_events_available_idx ON ${schema}.workflow_run_events (listener, available_at);
`,
  (schema) => `DROP TABLE ${schema}.workflow_run_events, ${schema}.workflow_subscriptions;`,
);
