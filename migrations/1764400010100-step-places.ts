import { migration } from './migration.js';

/**
 * Adds a function that gives places and slots of one limit to many steps, so that the number of
 * statements does not grow with the number of steps and keys that wait.
 *
 * The function takes the steps in the given order. It leaves out a step whose key has no place or
 * slot, and looks at the next one. A session that has ended gets no place: its row is gone, and
 * nothing would give the place back. Slots are reserved up to `p_ahead_ms` ahead only, because the
 * slots of a process that dies are lost.
 *
 * `is_held` is true for a step whose place must be given back. A row with `ord` NULL tells when a
 * rate limit allows more; there, `is_held` is true if a place that comes back can help before.
 */
export const StepPlaces1764400010100 = migration(
  'StepPlaces1764400010100',
  (schema) => `
CREATE FUNCTION ${schema}.workflow_take_places(p_name text, p_session bigint, p_keys text[], p_runs text[], p_steps text[], p_ahead_ms double precision)
RETURNS TABLE (ord integer, opens_ms double precision, is_held boolean) LANGUAGE plpgsql SET enable_seqscan = off AS $take$
DECLARE
  q record;
  step record;
  free integer;
  given integer := 0;
  has_rate boolean;
  at_now timestamptz;
  horizon timestamptz;
  slot timestamptz;
  key_slot timestamptz;
  key_arrival timestamptz;
  more timestamptz;
  is_closed boolean := false;
BEGIN
  SELECT * INTO q FROM ${schema}.workflow_queues w WHERE w.kind = 'step' AND w.name = p_name FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN QUERY SELECT x::integer, NULL::double precision, false FROM generate_series(1, cardinality(p_runs)) AS x;
    RETURN;
  END IF;
  IF q.is_paused OR NOT EXISTS (SELECT 1 FROM ${schema}.workflow_sessions s WHERE s.id = p_session) THEN RETURN; END IF;
  is_held := q.concurrency IS NOT NULL OR q.key_concurrency IS NOT NULL;
  has_rate := q.interval_ms IS NOT NULL OR q.key_interval_ms IS NOT NULL;
  IF is_held THEN
    -- A step that asks again may have a place, because the answer to its process was lost.
    DELETE FROM ${schema}.workflow_step_places p USING unnest(p_runs, p_steps) AS x(run_id, step_key)
    WHERE p.run_id = x.run_id AND p.step_key = x.step_key;
    DELETE FROM ${schema}.workflow_step_places p WHERE p.name = p_name
      AND NOT EXISTS (SELECT 1 FROM ${schema}.workflow_sessions s WHERE s.id = p.session_id);
  END IF;
  free := cardinality(p_runs);
  IF q.concurrency IS NOT NULL THEN
    free := least(free, q.concurrency - (SELECT count(*) FROM ${schema}.workflow_step_places p WHERE p.name = p_name));
  END IF;
  IF free <= 0 THEN RETURN; END IF;
  at_now := clock_timestamp();
  horizon := at_now + p_ahead_ms * interval '1 millisecond';
  FOR step IN
    SELECT x.n::integer AS n, x.run_id, x.step_key, x.key FROM (
      SELECT c.*, row_number() OVER (PARTITION BY c.key ORDER BY c.n) AS rank
      FROM unnest(p_keys, p_runs, p_steps) WITH ORDINALITY AS c(key, run_id, step_key, n)
    ) AS x LEFT JOIN (
      SELECT p.key, count(*) AS used FROM ${schema}.workflow_step_places p WHERE p.name = p_name AND q.key_concurrency IS NOT NULL GROUP BY p.key
    ) AS held ON held.key = x.key
    WHERE q.key_concurrency IS NULL OR x.key = '' OR coalesce(held.used, 0) + x.rank <= q.key_concurrency
    ORDER BY x.n
  LOOP
    EXIT WHEN given >= free;
    slot := NULL;
    IF q.interval_ms IS NOT NULL THEN
      slot := ${schema}.workflow_next_slot(q.arrival_at, q.interval_ms, q.burst, at_now);
      IF slot > horizon THEN
        is_closed := true;
        more := slot;
        EXIT;
      END IF;
    END IF;
    IF q.key_interval_ms IS NOT NULL AND step.key <> '' THEN
      SELECT a.arrival_at INTO key_arrival FROM ${schema}.workflow_queue_keys a WHERE a.kind = 'step' AND a.name = p_name AND a.key = step.key;
      key_slot := ${schema}.workflow_next_slot(key_arrival, q.key_interval_ms, q.key_burst, at_now);
      IF key_slot > horizon THEN
        more := least(more, key_slot);
        CONTINUE;
      END IF;
      slot := greatest(slot, key_slot);
      INSERT INTO ${schema}.workflow_queue_keys AS a (kind, name, key, arrival_at)
      VALUES ('step', p_name, step.key, greatest(key_arrival, slot) + q.key_interval_ms * interval '1 millisecond')
      ON CONFLICT ON CONSTRAINT workflow_queue_keys_pkey DO UPDATE SET arrival_at = excluded.arrival_at;
    END IF;
    IF q.interval_ms IS NOT NULL THEN
      q.arrival_at := greatest(q.arrival_at, slot) + q.interval_ms * interval '1 millisecond';
    END IF;
    IF is_held THEN
      INSERT INTO ${schema}.workflow_step_places (run_id, step_key, name, key, session_id)
      VALUES (step.run_id, step.step_key, p_name, step.key, p_session);
    END IF;
    given := given + 1;
    ord := step.n;
    opens_ms := extract(epoch FROM slot)::double precision * 1000;
    RETURN NEXT;
  END LOOP;
  IF given > 0 AND q.interval_ms IS NOT NULL THEN
    UPDATE ${schema}.workflow_queues w SET arrival_at = q.arrival_at WHERE w.kind = 'step' AND w.name = p_name;
  END IF;
  IF has_rate AND more IS NOT NULL THEN
    ord := NULL;
    is_held := is_held AND NOT is_closed;
    opens_ms := extract(epoch FROM more)::double precision * 1000;
    RETURN NEXT;
  END IF;
END
$take$;
`,
  (schema) => `
DROP FUNCTION ${schema}.workflow_take_places(text, bigint, text[], text[], text[], double precision);
`,
);
