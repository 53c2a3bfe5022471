import { migration } from './migration.js';

/**
 * Adds the tables of starts with `debounce` or `throttle` and of members of batches, which share
 * one run. Other starts do not touch the tables.
 */
export const SharedStarts1764400007500 = migration(
  'SharedStarts1764400007500',
  (schema) => `
CREATE TABLE ${schema}.workflow_shared_starts (
  kind text COLLATE "C" NOT NULL,
  -- Name of the workflow.
  name text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  -- The run that counts.
  run_id text COLLATE "C" NOT NULL,
  first_at timestamptz NOT NULL,
  until timestamptz NOT NULL,
  -- Nonces of the last starts: a start whose answer was lost is repeated, and must not count twice.
  nonces bigint[] NOT NULL,
  -- Number of members of the batch that is being collected.
  members integer NOT NULL DEFAULT 0,
  CONSTRAINT workflow_shared_starts_pkey PRIMARY KEY (kind, name, key),
  CONSTRAINT workflow_shared_starts_kind CHECK (kind IN ('debounce', 'throttle', 'batch'))
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

CREATE INDEX workflow_shared_starts_until_idx ON ${schema}.workflow_shared_starts (until);

-- Starts that a transaction of an application has committed, until they are decided.
CREATE TABLE ${schema}.workflow_start_requests (
  run_id text COLLATE "C" NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY,
  kind text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  period_ms double precision NOT NULL,
  max_wait_ms double precision,
  -- The start_nonce of the run: another run may get its id once the run is deleted.
  nonce bigint NOT NULL,
  due_at timestamptz,
  CONSTRAINT workflow_start_requests_pkey PRIMARY KEY (run_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

CREATE INDEX workflow_start_requests_key_idx ON ${schema}.workflow_start_requests (kind, name, key, id);
`,
  (schema) => `
DROP TABLE ${schema}.workflow_start_requests;
DROP TABLE ${schema}.workflow_shared_starts;
`,
);
