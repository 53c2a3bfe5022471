import { migration } from './migration.js';

/**
 * The tables of the first version. What each one holds, and who writes it, stands in ARCHITECTURE.md under "Tables".
 *
 * Payloads are `json`, not `jsonb`, which reorders keys, turns -0 into 0 and rejects NUL. Ids and keys sort by their bytes ("C"): cheaper to
 * compare, and the same on every server. There are no foreign keys: each write checks the run's owner anyway, and the check of a key
 * would lock the run's row once more for every step.
 */
export const Initial1763600000000 = migration(
  'Initial1763600000000',
  (schema) => `
CREATE TABLE ${schema}.workflow_runs (
  id text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  queue text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL,
  created_at timestamptz NOT NULL,
  ready_at timestamptz,
  wake_at timestamptz,
  started_at timestamptz,
  finished_at timestamptz,
  cancel_requested_at timestamptz,
  session_id bigint,
  start_nonce bigint NOT NULL,
  history_bytes bigint NOT NULL DEFAULT 0,
  version integer NOT NULL,
  epoch integer NOT NULL DEFAULT 0,
  generation integer NOT NULL DEFAULT 0,
  wake_count integer NOT NULL DEFAULT 0,
  priority smallint NOT NULL DEFAULT 0,
  losses smallint NOT NULL DEFAULT 0,
  losses_alone smallint NOT NULL DEFAULT 0,
  input json NOT NULL,
  output json,
  error json,
  deployment_id text,
  blocked_deployments text[],
  parent_run_id text COLLATE "C",
  parent_step_key text COLLATE "C",
  CONSTRAINT workflow_runs_pkey PRIMARY KEY (id),
  CONSTRAINT workflow_runs_status CHECK (status IN ('pending', 'running', 'waiting', 'paused', 'completed', 'failed', 'cancelled')),
  CONSTRAINT workflow_runs_finished CHECK ((finished_at IS NOT NULL) = (status IN ('completed', 'failed', 'cancelled'))),
  CONSTRAINT workflow_runs_owned CHECK ((session_id IS NOT NULL) = (status = 'running')),
  CONSTRAINT workflow_runs_ready CHECK (status <> 'pending' OR ready_at IS NOT NULL)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.05);

CREATE INDEX workflow_runs_ready_idx ON ${schema}.workflow_runs (queue, name, version, priority DESC, ready_at) WHERE status = 'pending' AND losses < 2;
CREATE INDEX workflow_runs_session_idx ON ${schema}.workflow_runs (session_id) WHERE status = 'running';
CREATE INDEX workflow_runs_wake_idx ON ${schema}.workflow_runs (wake_at) WHERE status = 'waiting' AND wake_at IS NOT NULL;
CREATE INDEX workflow_runs_created_idx ON ${schema}.workflow_runs (created_at, id);
-- These two hold almost nothing at any time, and so cost nothing: runs that were lost with a worker, and runs that wait for a deployment that
-- fits their history.
CREATE INDEX workflow_runs_suspect_idx ON ${schema}.workflow_runs (losses DESC, id) WHERE status = 'pending' AND losses >= 2;
CREATE INDEX workflow_runs_blocked_idx ON ${schema}.workflow_runs (id) WHERE status = 'waiting' AND blocked_deployments IS NOT NULL;

CREATE TABLE ${schema}.workflow_steps (
  run_id text COLLATE "C" NOT NULL,
  step_key text COLLATE "C" NOT NULL,
  started_at timestamptz NOT NULL,
  finished_at timestamptz NOT NULL,
  seq integer NOT NULL,
  epoch integer NOT NULL,
  attempts integer NOT NULL,
  called_after integer NOT NULL,
  args_hash integer,
  called_after_io boolean NOT NULL,
  kind text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL,
  output json,
  error json,
  CONSTRAINT workflow_steps_pkey PRIMARY KEY (run_id, step_key),
  CONSTRAINT workflow_steps_status CHECK (status IN ('completed', 'failed'))
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.05);

CREATE TABLE ${schema}.workflow_waits (
  run_id text COLLATE "C" NOT NULL,
  step_key text COLLATE "C" NOT NULL,
  kind text COLLATE "C" NOT NULL,
  wake_at timestamptz,
  attempts integer NOT NULL DEFAULT 0,
  opened_at timestamptz NOT NULL,
  CONSTRAINT workflow_waits_pkey PRIMARY KEY (run_id, step_key)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

CREATE TABLE ${schema}.workflow_events (
  run_id text COLLATE "C" NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL DEFAULT now(),
  kind text COLLATE "C" NOT NULL,
  step_key text COLLATE "C",
  attempt integer,
  epoch integer,
  data json,
  CONSTRAINT workflow_events_pkey PRIMARY KEY (run_id, id)
);

-- A flush whose answer was lost is repeated: its events must not show twice.
CREATE UNIQUE INDEX workflow_events_attempt_idx ON ${schema}.workflow_events (run_id, step_key, attempt, epoch) WHERE kind = 'attempt_failed';

CREATE TABLE ${schema}.workflow_inbox (
  run_id text COLLATE "C" NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY,
  created_at timestamptz NOT NULL DEFAULT now(),
  kind text COLLATE "C" NOT NULL,
  name text COLLATE "C",
  idempotency_key text COLLATE "C",
  payload json,
  -- Bytes of the payload as text: a read stops before it has too many.
  size integer NOT NULL GENERATED ALWAYS AS (coalesce(octet_length(payload::text), 0)) STORED,
  -- Of one message in eight: how many messages and bytes the run has been sent up to this one, about.
  place bigint,
  total bigint,
  CONSTRAINT workflow_inbox_pkey PRIMARY KEY (run_id, id)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

-- Nearly always empty: what must be read however many signals and payloads for hooks wait.
CREATE INDEX workflow_inbox_other_idx ON ${schema}.workflow_inbox (run_id, kind, id) WHERE kind NOT IN ('signal', 'hook');
CREATE INDEX workflow_inbox_place_idx ON ${schema}.workflow_inbox (run_id, id) WHERE place IS NOT NULL;

CREATE UNIQUE INDEX workflow_inbox_idempotency_idx ON ${schema}.workflow_inbox (run_id, kind, name, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE ${schema}.workflow_tags (
  run_id text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  value text COLLATE "C" NOT NULL,
  CONSTRAINT workflow_tags_pkey PRIMARY KEY (run_id, key)
);

CREATE INDEX workflow_tags_value_idx ON ${schema}.workflow_tags (key, value, run_id);

CREATE TABLE ${schema}.workflow_sessions (
  id bigint GENERATED ALWAYS AS IDENTITY,
  kind text COLLATE "C" NOT NULL,
  host text NOT NULL,
  pid integer NOT NULL,
  deployment_id text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  heartbeat_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  -- Whether the session holds an advisory lock on its direct connection: then the lock's absence tells of its death.
  holds_lock boolean NOT NULL DEFAULT false,
  -- The run that is executed with no other beside it, because it was lost with a worker before.
  alone_run_id text COLLATE "C",
  -- What the process claims: queue, workflow and version of each kind, a line break between them.
  serves text[] NOT NULL DEFAULT '{}',
  -- Bodies of steps that have been under way for a second or more: run, step, attempt and since when.
  bodies json,
  CONSTRAINT workflow_sessions_pkey PRIMARY KEY (id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
`,
  (schema) =>
    ['tags', 'inbox', 'events', 'waits', 'steps', 'sessions', 'runs'].map((table) => `DROP TABLE ${schema}.workflow_${table};`).join('\n'),
);
