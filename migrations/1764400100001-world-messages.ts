import { migration } from './migration.js';

/**
 * Adds the time at which a message of the World was put into its queue, or was put off. A run whose
 * messages are all older than its last event, and not due, has lost the message about that event.
 */
export const WorldMessages1764400100001 = migration(
  'WorldMessages1764400100001',
  (schema) => `
ALTER TABLE ${schema}.world_messages ADD COLUMN arranged_at timestamptz NOT NULL DEFAULT now();
`,
  (schema) => `
ALTER TABLE ${schema}.world_messages DROP COLUMN arranged_at;
`,
);
