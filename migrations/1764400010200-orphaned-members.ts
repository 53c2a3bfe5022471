import { migration } from './migration.js';

/**
 * Finds members of batches whose run was deleted, and locks members in the order of their ids.
 *
 * - The index contains only members that wait for their batch. A sweep reads one entry per batch.
 * - The end of a batch locks its members as all other statements lock runs, so that two statements
 *   never wait for each other.
 */
export const OrphanedMembers1764400010200 = migration(
  'OrphanedMembers1764400010200',
  (schema) => `
CREATE INDEX workflow_runs_member_idx ON ${schema}.workflow_runs (batch_id) WHERE batch_place IS NOT NULL;
CREATE OR REPLACE FUNCTION ${schema}.workflow_batch_ended() RETURNS trigger LANGUAGE plpgsql AS $ended$
BEGIN
  PERFORM 1 FROM ${schema}.workflow_runs m WHERE m.batch_id = NEW.id AND m.batch_place IS NOT NULL ORDER BY m.id FOR NO KEY UPDATE;
  UPDATE ${schema}.workflow_runs m SET status = NEW.status, version = NEW.version, started_at = coalesce(m.started_at, NEW.started_at),
    finished_at = NEW.finished_at, error = NEW.error, error_code = NEW.error_code, failed_step = NEW.failed_step,
    output = CASE WHEN NEW.output ->> '$durable' = 'batch' THEN NEW.output -> 'values' -> m.batch_place ELSE NEW.output END,
    batch_place = NULL, wake_at = NULL, ready_at = NULL
  WHERE m.batch_id = NEW.id AND m.batch_place IS NOT NULL AND m.status IN ('waiting', 'paused');
  RETURN NULL;
END
$ended$;
`,
  (schema) => `
CREATE OR REPLACE FUNCTION ${schema}.workflow_batch_ended() RETURNS trigger LANGUAGE plpgsql AS $ended$
BEGIN
  UPDATE ${schema}.workflow_runs m SET status = NEW.status, version = NEW.version, started_at = coalesce(m.started_at, NEW.started_at),
    finished_at = NEW.finished_at, error = NEW.error, error_code = NEW.error_code, failed_step = NEW.failed_step,
    output = CASE WHEN NEW.output ->> '$durable' = 'batch' THEN NEW.output -> 'values' -> m.batch_place ELSE NEW.output END,
    batch_place = NULL, wake_at = NULL, ready_at = NULL
  WHERE m.batch_id = NEW.id AND m.batch_place IS NOT NULL AND m.status IN ('waiting', 'paused');
  RETURN NULL;
END
$ended$;
DROP INDEX ${schema}.workflow_runs_member_idx;
`,
);
