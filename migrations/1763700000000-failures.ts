import { migration } from './migration.js';

/**
 * What failed runs are looked up by, in columns of their own: the `error` is a payload, which SQL need not be able to read. Runs that failed before
 * have none.
 *
 * The index holds failed runs alone, so that others cost nothing. Building it reads the whole table; where that takes long, build it
 * beforehand with CREATE INDEX CONCURRENTLY, and it is found here.
 */
export const Failures1763700000000 = migration(
  'Failures1763700000000',
  (schema) => `
ALTER TABLE ${schema}.workflow_runs ADD COLUMN error_code text COLLATE "C", ADD COLUMN failed_step text COLLATE "C";
CREATE INDEX IF NOT EXISTS workflow_runs_failed_idx ON ${schema}.workflow_runs (finished_at) WHERE status = 'failed';
`,
  (schema) => `
DROP INDEX ${schema}.workflow_runs_failed_idx;
ALTER TABLE ${schema}.workflow_runs DROP COLUMN error_code, DROP COLUMN failed_step;
`,
);
