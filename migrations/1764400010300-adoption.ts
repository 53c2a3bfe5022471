import { migration } from './migration.js';

/**
 * Adds the progress of the sweep that brings the runs of a queue under its first limits.
 * `adopting_after` is the id of the last run that the sweep has looked at; NULL when there is
 * nothing to do.
 */
export const Adoption1764400010300 = migration(
  'Adoption1764400010300',
  (schema) => `
ALTER TABLE ${schema}.workflow_queues ADD COLUMN adopting_after text COLLATE "C";
`,
  (schema) => `
ALTER TABLE ${schema}.workflow_queues DROP COLUMN adopting_after;
`,
);
