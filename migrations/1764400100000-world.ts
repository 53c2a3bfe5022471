import { migration } from './migration.js';

/**
 * Creates the tables of the World for the Workflow DevKit.
 *
 * An event is stored once, with its payload as the very bytes that the kit handed over. Runs, steps
 * and hooks refer to the slots of the events that hold their payloads. `last_slot` of a run is the
 * counter of its events, and the lock on the run's row is the order of its events. Messages are
 * indexed by `due_at` alone: a claim moves `due_at` to the end of the claimer's lease.
 */
export const World1764400100000 = migration(
  'World1764400100000',
  (schema) => `
CREATE TABLE ${schema}.world_runs (
  run_id text PRIMARY KEY,
  workflow_name text NOT NULL,
  deployment_id text NOT NULL,
  status text NOT NULL CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
  spec_version integer,
  execution_context json,
  attributes json,
  error_code text,
  last_slot bigint NOT NULL,
  last_at timestamptz NOT NULL,
  ended_slot bigint,
  swept_slot bigint,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  started_at timestamptz,
  completed_at timestamptz,
  CHECK ((completed_at IS NOT NULL) = (status IN ('completed', 'failed', 'cancelled')))
) WITH (fillfactor = 80);
CREATE INDEX world_runs_active_idx ON ${schema}.world_runs (run_id) WHERE status IN ('pending', 'running');
CREATE INDEX world_runs_name_idx ON ${schema}.world_runs (workflow_name, run_id);

CREATE TABLE ${schema}.world_events (
  run_id text NOT NULL,
  slot bigint NOT NULL,
  type text NOT NULL,
  correlation_id text,
  data json,
  payload bytea,
  spec_version integer,
  once_key text,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (run_id, slot)
);
CREATE INDEX world_events_correlation_idx ON ${schema}.world_events (correlation_id, run_id, slot) WHERE correlation_id IS NOT NULL;
CREATE UNIQUE INDEX world_events_once_idx ON ${schema}.world_events (run_id, once_key) WHERE once_key IS NOT NULL;

CREATE TABLE ${schema}.world_steps (
  run_id text NOT NULL,
  step_id text NOT NULL,
  step_name text NOT NULL,
  status text NOT NULL CHECK (status IN ('pending', 'running', 'completed', 'failed')),
  attempt integer NOT NULL,
  spec_version integer,
  created_slot bigint NOT NULL,
  result_slot bigint,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  started_at timestamptz,
  completed_at timestamptz,
  retry_after timestamptz,
  PRIMARY KEY (run_id, step_id)
) WITH (fillfactor = 80);
CREATE INDEX world_steps_step_idx ON ${schema}.world_steps (step_id);

CREATE TABLE ${schema}.world_hooks (
  run_id text NOT NULL,
  hook_id text NOT NULL,
  token text NOT NULL,
  spec_version integer,
  is_webhook boolean,
  is_system boolean,
  created_slot bigint NOT NULL,
  created_at timestamptz NOT NULL,
  ended_at timestamptz,
  PRIMARY KEY (run_id, hook_id)
);
CREATE UNIQUE INDEX world_hooks_token_idx ON ${schema}.world_hooks (token) WHERE ended_at IS NULL;
CREATE INDEX world_hooks_hook_idx ON ${schema}.world_hooks (hook_id);

CREATE TABLE ${schema}.world_waits (
  run_id text NOT NULL,
  wait_id text NOT NULL,
  status text NOT NULL CHECK (status IN ('waiting', 'completed')),
  spec_version integer,
  resume_at timestamptz,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  completed_at timestamptz,
  PRIMARY KEY (run_id, wait_id)
);

CREATE TABLE ${schema}.world_messages (
  message_id text PRIMARY KEY,
  queue text NOT NULL,
  deployment_id text NOT NULL,
  run_id text,
  idempotency_key text,
  body json NOT NULL,
  headers json,
  failures integer NOT NULL DEFAULT 0,
  announced integer NOT NULL DEFAULT 0,
  lease text,
  due_at timestamptz NOT NULL,
  created_at timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX world_messages_due_idx ON ${schema}.world_messages (deployment_id, due_at);
CREATE INDEX world_messages_run_idx ON ${schema}.world_messages (run_id) WHERE run_id IS NOT NULL;
CREATE UNIQUE INDEX world_messages_key_idx ON ${schema}.world_messages (queue, (COALESCE(run_id, '')), idempotency_key)
  WHERE idempotency_key IS NOT NULL;

CREATE TABLE ${schema}.world_streams (
  name text PRIMARY KEY,
  run_id text NOT NULL,
  last_index bigint NOT NULL DEFAULT -1,
  closed boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);
CREATE INDEX world_streams_run_idx ON ${schema}.world_streams (run_id, name);

CREATE TABLE ${schema}.world_chunks (
  name text NOT NULL,
  index bigint NOT NULL,
  data bytea NOT NULL,
  PRIMARY KEY (name, index)
);
`,
  (schema) => `
DROP TABLE ${['runs', 'events', 'steps', 'hooks', 'waits', 'messages', 'streams', 'chunks'].map((name) => `${schema}.world_${name}`).join(', ')};
`,
);
