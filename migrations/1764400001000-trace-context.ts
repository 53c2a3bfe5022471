import { migration } from './migration.js';

/**
 * Adds the W3C trace context of starts and of messages. The columns are null for what is not
 * traced. Adding a nullable column without a default rewrites no table.
 */
export const TraceContext1764400001000 = migration(
  'TraceContext1764400001000',
  (schema) => `
ALTER TABLE ${schema}.workflow_runs ADD COLUMN trace_context text COLLATE "C";
ALTER TABLE ${schema}.workflow_inbox ADD COLUMN trace_context text COLLATE "C";
`,
  (schema) => `
ALTER TABLE ${schema}.workflow_inbox DROP COLUMN trace_context;
ALTER TABLE ${schema}.workflow_runs DROP COLUMN trace_context;
`,
);
