import { migration } from './migration.js';

/** Runs that a transport had to be told of again: how often, and when the next time is. Others have no row here. */
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
`,
  (schema) => `
DROP TABLE ${schema}.workflow_outbox;
`,
);
