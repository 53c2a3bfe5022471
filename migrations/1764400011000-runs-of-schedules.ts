import { migration } from './migration.js';

/**
 * Adds an index for the runs of a schedule, in the order of listings. Runs that no schedule started
 * have no entry.
 */
export const RunsOfSchedules1764400011000 = migration(
  'RunsOfSchedules1764400011000',
  (schema) => `
CREATE INDEX workflow_runs_schedule_idx ON ${schema}.workflow_runs (schedule, created_at, id) WHERE schedule IS NOT NULL;
`,
  (schema) => `
DROP INDEX ${schema}.workflow_runs_schedule_idx;
`,
);
