import { historyViewSql } from './history-view.js';
import { migration } from './migration.js';

/** What runs need to be talked to: named waits, hooks, shown state, deadlines, successors, and messages that are sent once. */
export const TalkingToRuns1763800000000 = migration(
  'TalkingToRuns1763800000000',
  (schema) => `
ALTER TABLE ${schema}.workflow_runs
  ADD COLUMN deadline_at timestamptz,
  ADD COLUMN continued_as text COLLATE "C",
  ADD COLUMN continued_from text COLLATE "C",
  -- Of a run that goes on in another's place: when the first of them was created.
  ADD COLUMN chain_created_at timestamptz,
  -- Of a run that goes on in another's place: the start_nonce of the first of them. Not the first
  -- run's id, which a new run may be given once the first one is deleted.
  ADD COLUMN chain_nonce bigint,
  -- What the run was given, not when it is over: a retry begins it anew.
  ADD COLUMN timeout_ms double precision,
  ADD COLUMN forked_from text COLLATE "C",
  -- The run whose history a fork has copied: what was drawn at random must come out the same.
  ADD COLUMN seed_run_id text COLLATE "C",
  -- Waits for a deployment whose code fits its history, and for nothing else; that it was refused once does not say so.
  ADD COLUMN is_blocked boolean NOT NULL DEFAULT false;
UPDATE ${schema}.workflow_runs SET is_blocked = true WHERE status = 'waiting' AND blocked_deployments IS NOT NULL AND wake_at IS NULL;
DROP INDEX ${schema}.workflow_runs_blocked_idx;
CREATE INDEX workflow_runs_blocked_idx ON ${schema}.workflow_runs (id) WHERE status = 'waiting' AND is_blocked;

-- Nearly always empty: children whose parents wait.
CREATE INDEX workflow_runs_parent_idx ON ${schema}.workflow_runs (parent_run_id) WHERE parent_run_id IS NOT NULL;
-- Holds one run of each chain, its current one: finding it costs the same however long the chain is.
CREATE INDEX workflow_runs_chain_idx ON ${schema}.workflow_runs (chain_nonce) WHERE chain_nonce IS NOT NULL AND continued_as IS NULL;

-- Runs that have a deadline and are in nobody's hands: a sweep ends those that nobody can execute.
CREATE INDEX workflow_runs_deadline_idx ON ${schema}.workflow_runs (deadline_at) WHERE deadline_at IS NOT NULL AND status IN ('pending', 'waiting');

-- What is waited for: a signal's name, a hook's token, a child's run id.
ALTER TABLE ${schema}.workflow_waits ADD COLUMN name text COLLATE "C";

-- Messages are kept until they are taken; that one was sent under a key is kept for as long as the run.
ALTER TABLE ${schema}.workflow_events
  ADD COLUMN name text COLLATE "C",
  ADD COLUMN idempotency_key text COLLATE "C";
CREATE UNIQUE INDEX workflow_events_sent_once_idx ON ${schema}.workflow_events (run_id, kind, name, idempotency_key) WHERE idempotency_key IS NOT NULL;
DROP INDEX ${schema}.workflow_inbox_idempotency_idx;

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

-- What is done to many runs at a time, and how far it is.
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
  -- Somebody has ended it before it was done.
  is_stopped boolean NOT NULL DEFAULT false,
  next_at timestamptz,
  after_created_at timestamptz,
  after_id text COLLATE "C",
  CONSTRAINT workflow_operations_pkey PRIMARY KEY (token)
);
CREATE INDEX workflow_operations_unfinished_idx ON ${schema}.workflow_operations (next_at) WHERE started_at IS NOT NULL AND finished_at IS NULL;

${historyViewSql(schema)}
`,
  (schema) => `
DROP VIEW ${schema}.workflow_history;
DROP TABLE ${schema}.workflow_operations;
DROP TABLE ${schema}.workflow_state;
DROP TABLE ${schema}.workflow_hooks;
CREATE UNIQUE INDEX workflow_inbox_idempotency_idx ON ${schema}.workflow_inbox (run_id, kind, name, idempotency_key) WHERE idempotency_key IS NOT NULL;
ALTER TABLE ${schema}.workflow_events DROP COLUMN name, DROP COLUMN idempotency_key;
ALTER TABLE ${schema}.workflow_waits DROP COLUMN name;
CREATE INDEX workflow_runs_was_blocked_idx ON ${schema}.workflow_runs (id) WHERE status = 'waiting' AND blocked_deployments IS NOT NULL;
ALTER TABLE ${schema}.workflow_runs
  DROP COLUMN is_blocked, DROP COLUMN deadline_at, DROP COLUMN continued_as, DROP COLUMN continued_from, DROP COLUMN chain_created_at, DROP COLUMN chain_nonce, DROP COLUMN timeout_ms, DROP COLUMN forked_from, DROP COLUMN seed_run_id;
ALTER INDEX ${schema}.workflow_runs_was_blocked_idx RENAME TO workflow_runs_blocked_idx;`,
);
