import { migration } from './migration.js';

/**
 * Runs that a transport had to be told of again: how often, and when the next time is. Others have no
 * row there. And the database that the runs belong to.
 */
export const WakeUps1763900000000 = migration(
  'WakeUps1763900000000',
  (schema) => `
CREATE TABLE ${schema}.workflow_outbox (
  run_id text COLLATE "C" NOT NULL,
  seq text COLLATE "C" NOT NULL,
  attempts int NOT NULL,
  next_at timestamptz NOT NULL,
  CONSTRAINT workflow_outbox_pkey PRIMARY KEY (run_id)
);
CREATE TABLE ${schema}.workflow_home (
  id smallint NOT NULL DEFAULT 1,
  system_identifier text,
  database_oid text NOT NULL,
  environment text,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT workflow_home_pkey PRIMARY KEY (id),
  CONSTRAINT workflow_home_single CHECK (id = 1)
);
`,
  (schema) => `
DROP TABLE ${schema}.workflow_home;
DROP TABLE ${schema}.workflow_outbox;
`,
);
