import { migration } from './migration.js';

/**
 * Adds queues with limits. The new columns of runs stay NULL for runs of queues without limits, so
 * the two partial indexes contain none of these runs.
 *
 * - `queue_key`: key of the run within its queue, such as a tenant.
 * - `place`: NULL when the run's queue has no limit. `queued`: the run is due and waits for a
 *   place. `admitted`: the run has a place. `kept`: the run has a place and keeps the place while
 *   it is suspended. `outside`: the run needs no place now.
 * - `opens_at`: the earliest time at which the run may begin, from a rate limit.
 *
 * The trigger keeps `place` and `status` together. Many statements make runs due, and none of them
 * can make a run pending that has no place.
 */
export const Queues1764400007000 = migration(
  'Queues1764400007000',
  (schema) => `
CREATE TABLE ${schema}.workflow_queues (
  kind text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  -- Limits from the module's options, and limits that replace them, as JSON texts.
  declared json,
  override json,
  is_paused boolean NOT NULL DEFAULT false,
  is_limited boolean NOT NULL DEFAULT false,
  -- The limits in force, for the statements that admit runs and steps.
  concurrency integer,
  per_worker integer,
  key_concurrency integer,
  -- Milliseconds between two admissions, and how many may follow each other at once.
  interval_ms double precision,
  burst integer NOT NULL DEFAULT 1,
  key_interval_ms double precision,
  key_burst integer NOT NULL DEFAULT 1,
  is_fifo boolean NOT NULL DEFAULT false,
  counts_suspended boolean NOT NULL DEFAULT false,
  -- Theoretical arrival time of the rate limit, and the key that was served last.
  arrival_at timestamptz,
  last_key text COLLATE "C" NOT NULL DEFAULT '',
  swept_at timestamptz NOT NULL DEFAULT '-infinity',
  revision bigint NOT NULL DEFAULT 1,
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT workflow_queues_pkey PRIMARY KEY (kind, name),
  CONSTRAINT workflow_queues_kind CHECK (kind IN ('queue', 'step'))
) WITH (fillfactor = 50);
-- Arrival times of the rate limits of keys.
CREATE TABLE ${schema}.workflow_queue_keys (
  kind text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  arrival_at timestamptz NOT NULL,
  CONSTRAINT workflow_queue_keys_pkey PRIMARY KEY (kind, name, key)
) WITH (fillfactor = 50);
-- Places of steps that are being executed.
CREATE TABLE ${schema}.workflow_step_places (
  run_id text COLLATE "C" NOT NULL,
  step_key text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  session_id bigint NOT NULL,
  taken_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT workflow_step_places_pkey PRIMARY KEY (run_id, step_key)
);
CREATE INDEX workflow_step_places_idx ON ${schema}.workflow_step_places (name, key);
ALTER TABLE ${schema}.workflow_runs ADD COLUMN queue_key text COLLATE "C", ADD COLUMN place text COLLATE "C", ADD COLUMN opens_at timestamptz;
-- Runs that have started come first within a key, so that runs end before others begin.
CREATE INDEX workflow_runs_queued_idx ON ${schema}.workflow_runs (queue, queue_key, (started_at IS NULL), priority DESC, ready_at) WHERE place = 'queued';
-- The same runs in their order within the queue.
CREATE INDEX workflow_runs_order_idx ON ${schema}.workflow_runs (queue, (started_at IS NULL), priority DESC, ready_at) WHERE place = 'queued';
CREATE INDEX workflow_runs_place_idx ON ${schema}.workflow_runs (queue, queue_key) WHERE place IN ('admitted', 'kept');
CREATE FUNCTION ${schema}.workflow_run_place() RETURNS trigger LANGUAGE plpgsql AS $place$
BEGIN
  NEW.queue_key := coalesce(NEW.queue_key, '');
  IF TG_OP = 'UPDATE' THEN
    IF NEW.queue <> OLD.queue AND NEW.status <> 'running' THEN
      NEW.place := 'outside';
    ELSIF OLD.place = 'queued' AND NEW.place = 'queued' AND NEW.status IN ('pending', 'waiting') AND NOT NEW.is_blocked THEN
      NEW.status := 'waiting';
      NEW.ready_at := OLD.ready_at;
      NEW.wake_at := NULL;
      RETURN NEW;
    END IF;
  END IF;
  IF NEW.status = 'pending' THEN
    IF NEW.place NOT IN ('admitted', 'kept') THEN
      NEW.place := 'queued';
      NEW.status := 'waiting';
      NEW.wake_at := NULL;
    END IF;
  ELSIF NEW.status = 'running' THEN
    IF NEW.place NOT IN ('admitted', 'kept') THEN NEW.place := 'admitted'; END IF;
  ELSE
    NEW.opens_at := NULL;
    IF NEW.status <> 'waiting' OR NEW.place <> 'kept' OR NEW.is_blocked THEN NEW.place := 'outside'; END IF;
  END IF;
  RETURN NEW;
END
$place$;
CREATE TRIGGER workflow_runs_place_insert BEFORE INSERT ON ${schema}.workflow_runs FOR EACH ROW
  WHEN (NEW.place IS NOT NULL) EXECUTE FUNCTION ${schema}.workflow_run_place();
CREATE TRIGGER workflow_runs_place_update BEFORE UPDATE OF status, queue ON ${schema}.workflow_runs FOR EACH ROW
  WHEN (NEW.place IS NOT NULL) EXECUTE FUNCTION ${schema}.workflow_run_place();
`,
  (schema) => `
DROP TRIGGER workflow_runs_place_update ON ${schema}.workflow_runs;
DROP TRIGGER workflow_runs_place_insert ON ${schema}.workflow_runs;
DROP FUNCTION ${schema}.workflow_run_place();
DROP INDEX ${schema}.workflow_runs_place_idx;
DROP INDEX ${schema}.workflow_runs_order_idx;
DROP INDEX ${schema}.workflow_runs_queued_idx;
ALTER TABLE ${schema}.workflow_runs DROP COLUMN queue_key, DROP COLUMN place, DROP COLUMN opens_at;
DROP TABLE ${schema}.workflow_step_places;
DROP TABLE ${schema}.workflow_queue_keys;
DROP TABLE ${schema}.workflow_queues;
`,
);
