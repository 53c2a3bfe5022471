import { migration } from './migration.js';

/**
 * Adds the time at which a message of the World was put into its queue, or was put off. A run whose
 * messages are all older than its last event, and not due, has lost the message about that event.
 *
 * Runs that failed or were cancelled get an index for listings. Runs that complete do not pay for
 * it.
 */
export const WorldMessages1764400100001 = migration(
  'WorldMessages1764400100001',
  (schema) => `
ALTER TABLE ${schema}.world_messages ADD COLUMN arranged_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX world_runs_unsuccessful_idx ON ${schema}.world_runs (status, run_id) WHERE status IN ('failed', 'cancelled');
`,
  (schema) => `
DROP INDEX ${schema}.world_runs_unsuccessful_idx;
ALTER TABLE ${schema}.world_messages DROP COLUMN arranged_at;
`,
);
