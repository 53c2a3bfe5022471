import { migration } from './migration.js';

/**
 * Tables of the first version. ARCHITECTURE.md lists under "Tables" the writers of each table.
 *
 * Payloads have the type `json`, because `jsonb` reorders keys, turns -0 into 0 and rejects NUL.
 * Ids and keys sort by their bytes ("C"), which is cheaper to compare and the same on every server.
 * There are no foreign keys. Each write checks the run's owner anyway. Checking a foreign key would
 * lock the run's row once more for every step.
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
  -- Number of workers that died while they owned the run, and number of those that executed no
  -- other run.
  worker_losses smallint NOT NULL DEFAULT 0,
  exclusive_losses smallint NOT NULL DEFAULT 0,
  input json NOT NULL,
  output json,
  error json,
  deployment_id text,
  blocked_deployments text[],
  parent_run_id text COLLATE "C",
  parent_step_key text COLLATE "C",
  -- Lookup columns of failed runs: SQL cannot read the payload in "error" when a codec wrote it.
  error_code text COLLATE "C",
  failed_step text COLLATE "C",
  deadline_at timestamptz,
  continued_as text COLLATE "C",
  continued_from text COLLATE "C",
  -- Set on continued runs: when the first run of the chain was created.
  chain_created_at timestamptz,
  -- Set on continued runs: the start_nonce of the first run of the chain. The first run's id does
  -- not identify the chain, because a new run may get that id once the first one is deleted.
  chain_nonce bigint,
  -- The timeout that the run was started with. Each retry computes deadline_at from it again.
  timeout_ms double precision,
  forked_from text COLLATE "C",
  -- The run whose history a fork copied: its random values must be the same on replay.
  seed_run_id text COLLATE "C",
  -- True while the run waits for a deployment that fits its history. blocked_deployments alone does
  -- not show this: it keeps the deployments that refused the run earlier.
  is_blocked boolean NOT NULL DEFAULT false,
  CONSTRAINT workflow_runs_pkey PRIMARY KEY (id),
  CONSTRAINT workflow_runs_status CHECK (status IN ('pending', 'running', 'waiting', 'paused', 'completed', 'failed', 'cancelled')),
  CONSTRAINT workflow_runs_finished CHECK ((finished_at IS NOT NULL) = (status IN ('completed', 'failed', 'cancelled'))),
  CONSTRAINT workflow_runs_owned CHECK ((session_id IS NOT NULL) = (status = 'running')),
  CONSTRAINT workflow_runs_ready CHECK (status <> 'pending' OR ready_at IS NOT NULL)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.05);

CREATE INDEX workflow_runs_ready_idx ON ${schema}.workflow_runs (queue, name, version, priority DESC, ready_at) WHERE status = 'pending' AND worker_losses < 2;
CREATE INDEX workflow_runs_session_idx ON ${schema}.workflow_runs (session_id) WHERE status = 'running';
CREATE INDEX workflow_runs_wake_idx ON ${schema}.workflow_runs (wake_at) WHERE status = 'waiting' AND wake_at IS NOT NULL;
CREATE INDEX workflow_runs_created_idx ON ${schema}.workflow_runs (created_at, id);
CREATE INDEX workflow_runs_failed_idx ON ${schema}.workflow_runs (finished_at) WHERE status = 'failed';
-- The following indexes hold few rows at any time and cost nearly nothing: runs lost with two or
-- more workers, blocked runs, children, the current run of each chain, unowned runs with a
-- deadline.
CREATE INDEX workflow_runs_suspect_idx ON ${schema}.workflow_runs (worker_losses DESC, id) WHERE status = 'pending' AND worker_losses >= 2;
CREATE INDEX workflow_runs_blocked_idx ON ${schema}.workflow_runs (id) WHERE status = 'waiting' AND is_blocked;
CREATE INDEX workflow_runs_parent_idx ON ${schema}.workflow_runs (parent_run_id) WHERE parent_run_id IS NOT NULL;
CREATE INDEX workflow_runs_chain_idx ON ${schema}.workflow_runs (chain_nonce) WHERE chain_nonce IS NOT NULL AND continued_as IS NULL;
CREATE INDEX workflow_runs_deadline_idx ON ${schema}.workflow_runs (deadline_at) WHERE deadline_at IS NOT NULL AND status IN ('pending', 'waiting');

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
  -- Name of a signal, token of a hook or run id of a child.
  name text COLLATE "C",
  CONSTRAINT workflow_waits_pkey PRIMARY KEY (run_id, step_key)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

CREATE TABLE ${schema}.workflow_run_log (
  run_id text COLLATE "C" NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL DEFAULT now(),
  kind text COLLATE "C" NOT NULL,
  step_key text COLLATE "C",
  attempt integer,
  epoch integer,
  data json,
  name text COLLATE "C",
  idempotency_key text COLLATE "C",
  CONSTRAINT workflow_run_log_pkey PRIMARY KEY (run_id, id)
);

-- A flush whose answer was lost is repeated: its entries must not appear twice.
CREATE UNIQUE INDEX workflow_run_log_attempt_idx ON ${schema}.workflow_run_log (run_id, step_key, attempt, epoch) WHERE kind = 'attempt_failed';
-- The inbox keeps a message until the run takes it; the log keeps its idempotency key for good.
CREATE UNIQUE INDEX workflow_run_log_sent_once_idx ON ${schema}.workflow_run_log (run_id, kind, name, idempotency_key) WHERE idempotency_key IS NOT NULL;

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
  -- Set on one message in eight: approximate number of messages and bytes that the run was sent up
  -- to this one.
  place bigint,
  total bigint,
  CONSTRAINT workflow_inbox_pkey PRIMARY KEY (run_id, id)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

-- Index of messages that must be read however many signals and hook payloads wait. It is nearly
-- always empty.
CREATE INDEX workflow_inbox_other_idx ON ${schema}.workflow_inbox (run_id, kind, id) WHERE kind NOT IN ('signal', 'hook');
CREATE INDEX workflow_inbox_place_idx ON ${schema}.workflow_inbox (run_id, id) WHERE place IS NOT NULL;

CREATE TABLE ${schema}.workflow_tags (
  run_id text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  value text COLLATE "C" NOT NULL,
  CONSTRAINT workflow_tags_pkey PRIMARY KEY (run_id, key)
);

CREATE INDEX workflow_tags_value_idx ON ${schema}.workflow_tags (key, value, run_id);

CREATE TABLE ${schema}.workflow_hooks (
  token text COLLATE "C" NOT NULL,
  run_id text COLLATE "C" NOT NULL,
  step_key text COLLATE "C" NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  closed_at timestamptz,
  headers text[] NOT NULL DEFAULT '{}',
  verify text,
  idempotency_header text,
  CONSTRAINT workflow_hooks_pkey PRIMARY KEY (token)
);

CREATE UNIQUE INDEX workflow_hooks_run_idx ON ${schema}.workflow_hooks (run_id, step_key);

CREATE TABLE ${schema}.workflow_state (
  run_id text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  value json NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT workflow_state_pkey PRIMARY KEY (run_id, key)
);

-- Bulk operations and their progress.
CREATE TABLE ${schema}.workflow_operations (
  token text COLLATE "C" NOT NULL,
  kind text COLLATE "C" NOT NULL,
  conditions json NOT NULL,
  signal_name text COLLATE "C",
  payload json,
  note json NOT NULL,
  matched bigint NOT NULL,
  done bigint NOT NULL DEFAULT 0,
  skipped bigint NOT NULL DEFAULT 0,
  rate double precision,
  created_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  finished_at timestamptz,
  -- True when an operator stopped the operation before it was complete.
  is_stopped boolean NOT NULL DEFAULT false,
  next_at timestamptz,
  after_created_at timestamptz,
  after_id text COLLATE "C",
  -- Ids of runs whose rows were locked when the operation reached them.
  locked text[] COLLATE "C" NOT NULL DEFAULT '{}',
  CONSTRAINT workflow_operations_pkey PRIMARY KEY (token)
);

CREATE INDEX workflow_operations_unfinished_idx ON ${schema}.workflow_operations (next_at) WHERE started_at IS NOT NULL AND finished_at IS NULL;

CREATE TABLE ${schema}.workflow_sessions (
  id bigint GENERATED ALWAYS AS IDENTITY,
  kind text COLLATE "C" NOT NULL,
  host text NOT NULL,
  pid integer NOT NULL,
  deployment_id text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  heartbeat_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  -- True while the session holds an advisory lock on its direct connection. Then a missing lock
  -- means that the process died.
  holds_lock boolean NOT NULL DEFAULT false,
  -- The suspect run that the session executes exclusively.
  exclusive_run_id text COLLATE "C",
  -- Kinds of runs that the session claims: queue, workflow and version of each kind, separated by
  -- line breaks.
  serves text[] NOT NULL DEFAULT '{}',
  -- Step bodies that have been running for a second or more: run, step, attempt and start time.
  bodies json,
  CONSTRAINT workflow_sessions_pkey PRIMARY KEY (id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);

-- Wake-ups that a transport had to publish again: how often, and when the next time is. Runs whose
-- first wake-up arrived have no row.
CREATE TABLE ${schema}.workflow_outbox (
  run_id text COLLATE "C" NOT NULL,
  seq text COLLATE "C" NOT NULL,
  attempts int NOT NULL,
  next_at timestamptz NOT NULL,
  CONSTRAINT workflow_outbox_pkey PRIMARY KEY (run_id)
);

-- The database that the runs belong to. A process on a copy of the database executes nothing.
CREATE TABLE ${schema}.workflow_home (
  id smallint NOT NULL DEFAULT 1,
  system_identifier text,
  database_oid text NOT NULL,
  environment text,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT workflow_home_pkey PRIMARY KEY (id),
  CONSTRAINT workflow_home_single CHECK (id = 1)
);

-- History of each run, composed from the rows that record it: nothing is stored twice. Readers
-- select a run and order by at, rank, number. Hook tokens are cut to their first characters,
-- because anybody with a token can resume the run. Steps keep the order of seq when the clocks of
-- workers differ: no step appears before the one with a lower seq. Times are whole milliseconds,
-- rounded down; within a millisecond the rank decides. The end of a run comes after its steps.
CREATE VIEW ${schema}.workflow_history AS
SELECT r.id AS run_id, date_trunc('milliseconds', r.created_at) AS at, 0 AS rank, 0::bigint AS number, 'run_created' AS kind, NULL::text AS step_key,
  coalesce(r.continued_from, r.forked_from, r.parent_run_id) AS name, NULL::integer AS attempt, NULL::integer AS epoch, NULL::timestamptz AS started_at,
  NULL::json AS output, NULL::json AS error,
  json_build_object('workflow', r.name, 'version', r.version, 'queue', r.queue, 'parentRunId', r.parent_run_id, 'continuedFrom', r.continued_from,
    'forkedFrom', r.forked_from) AS data
FROM ${schema}.workflow_runs r
UNION ALL
SELECT r.id, date_trunc('milliseconds', r.started_at), 1, 0, 'run_started', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM ${schema}.workflow_runs r WHERE r.started_at IS NOT NULL
UNION ALL
SELECT e.run_id, date_trunc('milliseconds', e.at), 3, e.id, e.kind, e.step_key, e.name, e.attempt, e.epoch, NULL, NULL,
  CASE WHEN e.kind IN ('attempt_failed', 'blocked', 'run_failed') THEN e.data END,
  CASE WHEN e.kind NOT IN ('attempt_failed', 'blocked', 'run_failed') THEN e.data END
FROM ${schema}.workflow_run_log e
UNION ALL
SELECT s.run_id, max(s.finished_at) OVER (PARTITION BY s.run_id ORDER BY s.seq), 4, s.seq,
  CASE WHEN h.token IS NOT NULL THEN 'hook_created' WHEN s.kind = 'cancel' THEN 'cancellation_delivered'
    WHEN s.kind = 'patch' THEN 'patched' ELSE s.kind || '_' || s.status END,
  s.step_key, left(h.token, 8), s.attempts, s.epoch, s.started_at, CASE WHEN h.token IS NULL THEN s.output END, s.error, NULL
FROM ${schema}.workflow_steps s
LEFT JOIN LATERAL (
  SELECT token FROM ${schema}.workflow_hooks WHERE s.kind = 'step' AND s.step_key LIKE 'hook%' AND run_id = s.run_id AND step_key = s.step_key LIMIT 1
) AS h ON true
UNION ALL
SELECT c.parent_run_id, date_trunc('milliseconds', c.created_at), 5,
  row_number() OVER (PARTITION BY c.parent_run_id ORDER BY c.created_at, c.id), 'child_started', c.parent_step_key, c.id, NULL, NULL, NULL, NULL, NULL,
  json_build_object('workflow', c.name, 'version', c.version)
FROM ${schema}.workflow_runs c WHERE c.parent_run_id IS NOT NULL AND c.continued_from IS NULL
UNION ALL
SELECT w.run_id, w.opened_at, 6, hashtextextended(w.step_key, 0), 'wait_open', w.step_key,
  CASE WHEN w.kind = 'hook' THEN left(w.name, 8) ELSE w.name END, w.attempts, NULL, w.opened_at, NULL,
  NULL, json_build_object('wait', w.kind, 'wakeAt', extract(epoch FROM w.wake_at)::float8 * 1000)
FROM ${schema}.workflow_waits w
UNION ALL
SELECT r.id,
  greatest(date_trunc('milliseconds', r.finished_at), (SELECT max(s.finished_at) FROM ${schema}.workflow_steps s WHERE s.run_id = r.id)),
  9, 0, CASE WHEN r.continued_as IS NULL THEN 'run_' || r.status ELSE 'continued_as_new' END, NULL, r.continued_as, NULL, r.epoch, NULL,
  r.output, r.error, NULL
FROM ${schema}.workflow_runs r WHERE r.finished_at IS NOT NULL;
`,
  (schema) => `
DROP VIEW ${schema}.workflow_history;
DROP TABLE ${['home', 'outbox', 'sessions', 'operations', 'state', 'hooks', 'tags', 'inbox', 'run_log', 'waits', 'steps', 'runs']
    .map((table) => `${schema}.workflow_${table}`)
    .join(', ')};
`,
);
