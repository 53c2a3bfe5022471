import { migration } from './migration.js';

/** Adds the arguments of compensations. Steps without a compensation have none. */
export const Compensations1764400004000 = migration(
  'Compensations1764400004000',
  (schema) => `
ALTER TABLE ${schema}.workflow_steps ADD COLUMN compensate_args json;
`,
  (schema) => `
ALTER TABLE ${schema}.workflow_steps DROP COLUMN compensate_args;
`,
);
