import { migration } from './migration.js';

const STATUSES = ['pending', 'running', 'completed', 'failed', 'cancelled'];

/**
 * Gives the runs of each status of the World an index. A listing of a status that the newest runs
 * do not have would otherwise read all of them.
 *
 * One index on status and id would do for the server, but its planner prefers the primary key: it
 * takes the ids in such an index for scattered in the table, and the statuses for mixed evenly.
 */
export const WorldListings1764400100002 = migration(
  'WorldListings1764400100002',
  (schema) => `
${STATUSES.map((status) => `CREATE INDEX world_runs_${status}_idx ON ${schema}.world_runs (run_id) WHERE status = '${status}';`).join('\n')}
DROP INDEX ${schema}.world_runs_active_idx;
DROP INDEX ${schema}.world_runs_unsuccessful_idx;
`,
  (schema) => `
CREATE INDEX world_runs_active_idx ON ${schema}.world_runs (run_id) WHERE status IN ('pending', 'running');
CREATE INDEX world_runs_unsuccessful_idx ON ${schema}.world_runs (status, run_id) WHERE status IN ('failed', 'cancelled');
DROP INDEX ${STATUSES.map((status) => `${schema}.world_runs_${status}_idx`).join(', ')};
`,
);
