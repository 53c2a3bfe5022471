import { migration } from './migration.js';

/**
 * Table of the retention. It has one row, and none while no process uses the option `retention`.
 * The row keeps the place up to which the current round has read the runs. So a process that takes
 * over from another one does not begin the round again.
 */
export const Retention1764400000000 = migration(
  'Retention1764400000000',
  (schema) => `
CREATE TABLE ${schema}.workflow_retention (
  id smallint NOT NULL DEFAULT 1,
  -- Retention of workflow classes, in milliseconds by status; by name and version, separated by a
  -- line break.
  workflows jsonb NOT NULL DEFAULT '{}',
  next_at timestamptz NOT NULL DEFAULT now(),
  after_created_at timestamptz,
  after_id text COLLATE "C",
  -- Number of runs that the current round has read and not deleted.
  left_alone bigint NOT NULL DEFAULT 0,
  CONSTRAINT workflow_retention_pkey PRIMARY KEY (id),
  CONSTRAINT workflow_retention_single CHECK (id = 1)
);
`,
  (schema) => `
DROP TABLE ${schema}.workflow_retention;
`,
);
