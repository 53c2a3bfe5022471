import { migration } from './migration.js';

/**
 * Adds batches. A batch is a run of its own, which is executed for its members. The new columns of
 * all other runs stay NULL, so the partial index contains none of these runs.
 *
 * - `batch_id`: on a member, the run of its batch.
 * - `batch_place`: on a member, its place in the batch, until the batch has ended.
 * - `batch_size`: on the run of a batch, its largest number of members.
 *
 * Many statements make runs due. The first trigger keeps members waiting, because only their batch
 * is executed. Many statements end runs. The second trigger ends the members in the same statement.
 */
export const Batches1764400007501 = migration(
  'Batches1764400007501',
  (schema) => `
ALTER TABLE ${schema}.workflow_runs ADD COLUMN batch_id text COLLATE "C", ADD COLUMN batch_place integer, ADD COLUMN batch_size integer;
CREATE INDEX workflow_runs_batch_idx ON ${schema}.workflow_runs (batch_id, batch_place) WHERE batch_id IS NOT NULL;
CREATE FUNCTION ${schema}.workflow_batch_member() RETURNS trigger LANGUAGE plpgsql AS $member$
BEGIN
  NEW.status := 'waiting';
  NEW.ready_at := NULL;
  NEW.wake_at := NULL;
  RETURN NEW;
END
$member$;
CREATE TRIGGER workflow_runs_batch_member BEFORE UPDATE OF status ON ${schema}.workflow_runs FOR EACH ROW
  WHEN (NEW.batch_place IS NOT NULL AND NEW.status = 'pending') EXECUTE FUNCTION ${schema}.workflow_batch_member();
CREATE FUNCTION ${schema}.workflow_batch_ended() RETURNS trigger LANGUAGE plpgsql AS $ended$
BEGIN
  UPDATE ${schema}.workflow_runs m SET status = NEW.status, version = NEW.version, started_at = coalesce(m.started_at, NEW.started_at),
    finished_at = NEW.finished_at, error = NEW.error, error_code = NEW.error_code, failed_step = NEW.failed_step,
    output = CASE WHEN NEW.output ->> '$durable' = 'batch' THEN NEW.output -> 'values' -> m.batch_place ELSE NEW.output END,
    batch_place = NULL, wake_at = NULL, ready_at = NULL
  WHERE m.batch_id = NEW.id AND m.batch_place IS NOT NULL AND m.status IN ('waiting', 'paused');
  RETURN NULL;
END
$ended$;
CREATE TRIGGER workflow_runs_batch_ended AFTER UPDATE OF status ON ${schema}.workflow_runs FOR EACH ROW
  WHEN (NEW.batch_size IS NOT NULL AND NEW.finished_at IS NOT NULL AND OLD.finished_at IS NULL) EXECUTE FUNCTION ${schema}.workflow_batch_ended();
`,
  (schema) => `
DROP TRIGGER workflow_runs_batch_ended ON ${schema}.workflow_runs;
DROP TRIGGER workflow_runs_batch_member ON ${schema}.workflow_runs;
DROP FUNCTION ${schema}.workflow_batch_ended();
DROP FUNCTION ${schema}.workflow_batch_member();
DROP INDEX ${schema}.workflow_runs_batch_idx;
ALTER TABLE ${schema}.workflow_runs DROP COLUMN batch_id, DROP COLUMN batch_place, DROP COLUMN batch_size;
`,
);
