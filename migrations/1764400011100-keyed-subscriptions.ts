import { migration } from './migration.js';

/**
 * Lets an event wait for a process that has the class of a subscribed workflow: only the class can
 * compute the queue key of the run, or knows how it collects batches. An event for which no class
 * is missing has no index entry.
 */
export const KeyedSubscriptions1764400011100 = migration(
  'KeyedSubscriptions1764400011100',
  (schema) => `
ALTER TABLE ${schema}.workflow_event_subscriptions ADD COLUMN needs_class boolean NOT NULL DEFAULT false;
-- Workflows whose runs only a process with the class can start. NULL when none is missing.
ALTER TABLE ${schema}.workflow_events ADD COLUMN waits_for text[];
CREATE INDEX workflow_events_waits_for_idx ON ${schema}.workflow_events (seq) WHERE waits_for IS NOT NULL;
`,
  (schema) => `
DROP INDEX ${schema}.workflow_events_waits_for_idx;
ALTER TABLE ${schema}.workflow_events DROP COLUMN waits_for;
ALTER TABLE ${schema}.workflow_event_subscriptions DROP COLUMN needs_class;
`,
);
