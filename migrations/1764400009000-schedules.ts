import { migration } from './migration.js';

/**
 * Adds schedules, and the schedule and due time of the runs that they start. Applications without
 * schedules write to neither.
 */
export const Schedules1764400009000 = migration(
  'Schedules1764400009000',
  (schema) => `
CREATE TABLE ${schema}.workflow_schedules (
  name text COLLATE "C" NOT NULL,
  workflow text COLLATE "C" NOT NULL,
  -- When the schedule is due: a cron expression in a time zone, or a period from anchor_at.
  cron text COLLATE "C",
  every_ms double precision,
  timezone text COLLATE "C" NOT NULL,
  anchor_at timestamptz NOT NULL,
  start_at timestamptz,
  end_at timestamptz,
  jitter_ms double precision NOT NULL DEFAULT 0,
  overlap text COLLATE "C" NOT NULL,
  catch_up text COLLATE "C" NOT NULL,
  catch_up_limit integer NOT NULL,
  input json NOT NULL,
  tags json NOT NULL,
  -- The next due time, computed once by the process that started the runs of the last one. SQL
  -- never computes due times.
  due_at timestamptz,
  -- When the schedule needs attention: due_at with its jitter, the next try after a failure, or
  -- the end of a pause. NULL when nothing is to be done.
  fire_at timestamptz,
  -- Due time whose run waits for the end of the runs in open_runs.
  queued_at timestamptz,
  -- Runs that may not have ended. Empty when runs may overlap.
  open_runs text[] NOT NULL DEFAULT '{}',
  last_due_at timestamptz,
  last_run_id text COLLATE "C",
  skipped bigint NOT NULL DEFAULT 0,
  failures integer NOT NULL DEFAULT 0,
  last_error text,
  paused_at timestamptz,
  pause_reason text,
  resume_at timestamptz,
  -- The @Schedule that the row was made from: its digest, the deployment that has it, the
  -- deployments whose older @Schedule it has replaced, and how long it counts as existing.
  definition text COLLATE "C",
  deployment_id text COLLATE "C",
  replaced_deployments text[] NOT NULL DEFAULT '{}',
  declared_until timestamptz,
  is_undeclared boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT workflow_schedules_pkey PRIMARY KEY (name),
  CONSTRAINT workflow_schedules_timing CHECK ((cron IS NULL) <> (every_ms IS NULL)),
  CONSTRAINT workflow_schedules_overlap CHECK (overlap IN ('skip', 'queue', 'allow', 'cancelPrevious')),
  CONSTRAINT workflow_schedules_catch_up CHECK (catch_up IN ('none', 'last', 'all'))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

CREATE INDEX workflow_schedules_fire_idx ON ${schema}.workflow_schedules (fire_at) WHERE fire_at IS NOT NULL;
CREATE INDEX workflow_schedules_queued_idx ON ${schema}.workflow_schedules (name) WHERE queued_at IS NOT NULL;
CREATE INDEX workflow_schedules_declared_idx ON ${schema}.workflow_schedules (declared_until) WHERE declared_until IS NOT NULL;

-- The schedule that started the run, and the due time for which it did.
ALTER TABLE ${schema}.workflow_runs ADD COLUMN schedule text COLLATE "C";
ALTER TABLE ${schema}.workflow_runs ADD COLUMN due_at timestamptz;
`,
  (schema) => `
ALTER TABLE ${schema}.workflow_runs DROP COLUMN due_at;
ALTER TABLE ${schema}.workflow_runs DROP COLUMN schedule;
DROP TABLE ${schema}.workflow_schedules;
`,
);
