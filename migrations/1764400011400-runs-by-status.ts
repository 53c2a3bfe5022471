import { migration } from './migration.js';

/**
 * Adds an index for runs of statuses that few runs have at a time, in the order of listings.
 * Waiting runs have an entry while they wait, cancelled and continued runs until they are deleted.
 * Without the index, a listing by such a status reads the whole table.
 *
 * The condition on the creation time is true for every run. It keeps the index away from statements
 * that look up runs by id: without statistics, the planner could read all waiting runs instead.
 */
export const RunsByStatus1764400011400 = migration(
  'RunsByStatus1764400011400',
  (schema) => `
CREATE INDEX IF NOT EXISTS workflow_runs_status_idx ON ${schema}.workflow_runs (status, created_at, id)
  WHERE (status IN ('waiting', 'cancelled') OR continued_as IS NOT NULL) AND created_at > '-infinity';
`,
  (schema) => `
DROP INDEX ${schema}.workflow_runs_status_idx;
`,
);
