import { migration } from './migration.js';

/**
 * SQL that admits one run, of which `run` has the id, the key and `is_new`. Leaves the loop `label`
 * when the rate limit of the whole queue allows no further run.
 */
const admitSql = (schema: string, label: string): string => `
    slot := NULL;
    IF run.is_new AND q.interval_ms IS NOT NULL THEN
      slot := ${schema}.workflow_next_slot(q.arrival_at, q.interval_ms, q.burst, at_now);
      IF slot > horizon THEN
        is_closed := true;
        more := least(more, slot);
        EXIT ${label};
      END IF;
    END IF;
    IF run.is_new AND q.key_interval_ms IS NOT NULL AND run.queue_key <> '' THEN
      SELECT a.arrival_at INTO key_arrival FROM ${schema}.workflow_queue_keys a
      WHERE a.kind = 'queue' AND a.name = p_queue AND a.key = run.queue_key;
      key_slot := ${schema}.workflow_next_slot(key_arrival, q.key_interval_ms, q.key_burst, at_now);
      IF key_slot > horizon THEN
        more := least(more, key_slot);
        EXIT;
      END IF;
      slot := greatest(slot, key_slot);
      INSERT INTO ${schema}.workflow_queue_keys AS a (kind, name, key, arrival_at)
      VALUES ('queue', p_queue, run.queue_key, greatest(key_arrival, slot) + q.key_interval_ms * interval '1 millisecond')
      ON CONFLICT ON CONSTRAINT workflow_queue_keys_pkey DO UPDATE SET arrival_at = excluded.arrival_at;
    END IF;
    IF run.is_new AND q.interval_ms IS NOT NULL THEN
      q.arrival_at := greatest(q.arrival_at, slot) + q.interval_ms * interval '1 millisecond';
    END IF;
    UPDATE ${schema}.workflow_runs r SET status = 'pending', place = CASE WHEN q.counts_suspended THEN 'kept' ELSE 'admitted' END,
      ready_at = at_now, opens_at = slot
    WHERE r.id = run.id;
    id := run.id;
    name := run.name;
    version := run.version;
    free := free - 1;
    given := given + 1;
    RETURN NEXT;`;

/**
 * Adds the functions that give places and slots of rate limits.
 *
 * `workflow_admit` locks the row of the queue first. The queries after that see all that earlier
 * calls have done, because each query of a volatile function has a snapshot of its own. One
 * statement could not do this: its snapshot would be older than its lock. The function locks runs
 * only with SKIP LOCKED, so it waits for nothing while it holds the row of the queue.
 *
 * The planner has no choice in the functions: each query reads one range of one index.
 */
export const Admission1764400007001 = migration(
  'Admission1764400007001',
  (schema) => `
CREATE FUNCTION ${schema}.workflow_next_slot(arrival timestamptz, step_ms double precision, burst integer, since timestamptz)
RETURNS timestamptz LANGUAGE sql STABLE AS $slot$
  SELECT date_trunc('milliseconds', greatest(since, arrival - (burst - 1) * step_ms * interval '1 millisecond') + interval '0.999 milliseconds')
$slot$;
-- Admits queued runs of a queue. With keys, looks only at these keys, unless a limit for the whole
-- queue makes the keys take turns. The last row has no id: more_ms is the time until the rate limit
-- allows more, or NULL.
CREATE FUNCTION ${schema}.workflow_admit(p_queue text, p_keys text[], p_most integer, p_ahead_ms double precision)
RETURNS TABLE (id text, name text, version integer, more_ms double precision) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off AS $admit$
#variable_conflict use_column
DECLARE
  q record;
  run record;
  k text;
  free integer := p_most;
  used integer;
  quantum integer := 1;
  capacity integer;
  given integer := 0;
  given_before integer;
  at_now timestamptz;
  horizon timestamptz;
  slot timestamptz;
  key_slot timestamptz;
  key_arrival timestamptz;
  more timestamptz;
  is_closed boolean := false;
  is_shared boolean;
BEGIN
  SELECT * INTO q FROM ${schema}.workflow_queues w WHERE w.kind = 'queue' AND w.name = p_queue FOR NO KEY UPDATE;
  IF NOT FOUND OR q.is_paused THEN RETURN; END IF;
  at_now := clock_timestamp();
  horizon := at_now + p_ahead_ms * interval '1 millisecond';
  IF q.concurrency IS NOT NULL THEN
    SELECT count(*) INTO used FROM (
      SELECT 1 FROM ${schema}.workflow_runs r WHERE r.queue = p_queue AND r.place IN ('admitted', 'kept') LIMIT q.concurrency) AS held;
    free := least(free, q.concurrency - used);
  END IF;
  is_shared := q.concurrency IS NOT NULL OR q.interval_ms IS NOT NULL;
  IF NOT is_shared THEN quantum := p_most; END IF;
  -- Keys take turns. Each turn of all keys doubles what one key may take, so that few keys need few
  -- turns.
  <<turns>>
  WHILE free > 0 AND NOT q.is_fifo LOOP
    given_before := given;
    FOR k IN
      WITH RECURSIVE above AS (
        (SELECT r.queue_key FROM ${schema}.workflow_runs r WHERE r.place = 'queued' AND r.queue = p_queue AND r.queue_key > q.last_key
          AND (p_keys IS NULL OR is_shared) ORDER BY r.queue_key LIMIT 1)
        UNION ALL
        SELECT n.queue_key FROM above CROSS JOIN LATERAL (
          SELECT r.queue_key FROM ${schema}.workflow_runs r WHERE r.place = 'queued' AND r.queue = p_queue AND r.queue_key > above.queue_key
          ORDER BY r.queue_key LIMIT 1) AS n
      ), below AS (
        (SELECT r.queue_key FROM ${schema}.workflow_runs r WHERE r.place = 'queued' AND r.queue = p_queue
          AND (p_keys IS NULL OR is_shared) ORDER BY r.queue_key LIMIT 1)
        UNION ALL
        SELECT n.queue_key FROM below CROSS JOIN LATERAL (
          SELECT r.queue_key FROM ${schema}.workflow_runs r WHERE r.place = 'queued' AND r.queue = p_queue AND r.queue_key > below.queue_key
          ORDER BY r.queue_key LIMIT 1) AS n
        WHERE below.queue_key <= q.last_key
      )
      SELECT a.queue_key FROM above a
      UNION ALL SELECT b.queue_key FROM below b WHERE b.queue_key <= q.last_key
      UNION ALL SELECT x.queue_key FROM unnest(p_keys) AS x(queue_key) WHERE NOT is_shared
    LOOP
      EXIT turns WHEN free <= 0;
      capacity := least(free, quantum);
      IF q.key_concurrency IS NOT NULL AND k <> '' THEN
        SELECT count(*) INTO used FROM (
          SELECT 1 FROM ${schema}.workflow_runs r WHERE r.queue = p_queue AND r.queue_key = k AND r.place IN ('admitted', 'kept')
          LIMIT q.key_concurrency) AS held;
        capacity := least(capacity, q.key_concurrency - used);
        CONTINUE WHEN capacity <= 0;
      END IF;
      IF is_shared THEN q.last_key := k; END IF;
      FOR run IN
        SELECT r.id, r.name, r.version, r.queue_key, r.started_at IS NULL AS is_new FROM ${schema}.workflow_runs r
        WHERE r.place = 'queued' AND r.queue = p_queue AND r.queue_key = k
        ORDER BY (r.started_at IS NULL), r.priority DESC, r.ready_at LIMIT capacity FOR NO KEY UPDATE SKIP LOCKED
      LOOP${admitSql(schema, 'turns')}
      END LOOP;
    END LOOP;
    EXIT WHEN given = given_before OR (p_keys IS NOT NULL AND NOT is_shared);
    quantum := quantum * 2;
  END LOOP;
  -- Without turns, runs are admitted in their order. Runs that have started need no slot of the rate
  -- limit, so they continue while the limit admits no new run.
  IF free > 0 AND (q.is_fifo OR is_closed) THEN
    <<ordered>>
    FOR run IN
      SELECT r.id, r.name, r.version, r.queue_key, r.started_at IS NULL AS is_new FROM ${schema}.workflow_runs r
      WHERE r.place = 'queued' AND r.queue = p_queue AND (r.started_at IS NULL) <= (NOT is_closed)
      ORDER BY (r.started_at IS NULL), r.priority DESC, r.ready_at LIMIT greatest(p_most, 200) FOR NO KEY UPDATE SKIP LOCKED
    LOOP
      EXIT WHEN free <= 0;
      IF q.key_concurrency IS NOT NULL AND run.queue_key <> '' THEN
        SELECT count(*) INTO used FROM (
          SELECT 1 FROM ${schema}.workflow_runs r WHERE r.queue = p_queue AND r.queue_key = run.queue_key AND r.place IN ('admitted', 'kept')
          LIMIT q.key_concurrency) AS held;
        CONTINUE WHEN used >= q.key_concurrency;
      END IF;${admitSql(schema, 'ordered').replace('EXIT;', 'CONTINUE;')}
    END LOOP;
  END IF;
  IF given > 0 THEN
    UPDATE ${schema}.workflow_queues w SET arrival_at = q.arrival_at, last_key = q.last_key WHERE w.kind = 'queue' AND w.name = p_queue;
  END IF;
  id := NULL;
  name := NULL;
  version := NULL;
  -- The CASE keeps NULL, which greatest() would ignore.
  more_ms := CASE WHEN given >= p_most THEN 0
    WHEN more IS NOT NULL THEN greatest(1, extract(epoch FROM more - clock_timestamp()) * 1000 - p_ahead_ms / 2) END;
  IF more_ms IS NOT NULL THEN RETURN NEXT; END IF;
END
$admit$;
-- Reserves a slot of a rate limit, and returns the time at which the slot opens.
CREATE FUNCTION ${schema}.workflow_reserve_slot(p_kind text, p_name text, p_key text)
RETURNS timestamptz LANGUAGE plpgsql SET enable_seqscan = off AS $reserve$
DECLARE
  q record;
  key_arrival timestamptz;
  slot timestamptz;
BEGIN
  SELECT * INTO q FROM ${schema}.workflow_queues w WHERE w.kind = p_kind AND w.name = p_name FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN NULL; END IF;
  slot := clock_timestamp();
  IF q.interval_ms IS NOT NULL THEN
    slot := ${schema}.workflow_next_slot(q.arrival_at, q.interval_ms, q.burst, slot);
  END IF;
  IF q.key_interval_ms IS NOT NULL AND p_key <> '' THEN
    SELECT a.arrival_at INTO key_arrival FROM ${schema}.workflow_queue_keys a WHERE a.kind = p_kind AND a.name = p_name AND a.key = p_key;
    slot := ${schema}.workflow_next_slot(key_arrival, q.key_interval_ms, q.key_burst, slot);
    INSERT INTO ${schema}.workflow_queue_keys AS a (kind, name, key, arrival_at)
    VALUES (p_kind, p_name, p_key, greatest(key_arrival, slot) + q.key_interval_ms * interval '1 millisecond')
    ON CONFLICT ON CONSTRAINT workflow_queue_keys_pkey DO UPDATE SET arrival_at = excluded.arrival_at;
  END IF;
  IF q.interval_ms IS NOT NULL THEN
    UPDATE ${schema}.workflow_queues w SET arrival_at = greatest(q.arrival_at, slot) + q.interval_ms * interval '1 millisecond'
    WHERE w.kind = p_kind AND w.name = p_name;
  END IF;
  RETURN CASE WHEN q.interval_ms IS NULL AND q.key_interval_ms IS NULL THEN NULL ELSE slot END;
END
$reserve$;
-- Takes a place for a step, and returns true when the step may begin. A place belongs to a session
-- and ends with the session.
CREATE FUNCTION ${schema}.workflow_take_place(p_name text, p_key text, p_run text, p_step text, p_session bigint)
RETURNS boolean LANGUAGE plpgsql SET enable_seqscan = off AS $take$
DECLARE
  q record;
  used integer;
BEGIN
  SELECT * INTO q FROM ${schema}.workflow_queues w WHERE w.kind = 'step' AND w.name = p_name FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN true; END IF;
  IF q.is_paused THEN RETURN false; END IF;
  DELETE FROM ${schema}.workflow_step_places p WHERE p.run_id = p_run AND p.step_key = p_step;
  IF q.concurrency IS NULL AND q.key_concurrency IS NULL THEN RETURN true; END IF;
  DELETE FROM ${schema}.workflow_step_places p WHERE p.name = p_name
    AND NOT EXISTS (SELECT 1 FROM ${schema}.workflow_sessions s WHERE s.id = p.session_id);
  IF q.concurrency IS NOT NULL THEN
    SELECT count(*) INTO used FROM ${schema}.workflow_step_places p WHERE p.name = p_name;
    IF used >= q.concurrency THEN RETURN false; END IF;
  END IF;
  IF q.key_concurrency IS NOT NULL AND p_key <> '' THEN
    SELECT count(*) INTO used FROM ${schema}.workflow_step_places p WHERE p.name = p_name AND p.key = p_key;
    IF used >= q.key_concurrency THEN RETURN false; END IF;
  END IF;
  INSERT INTO ${schema}.workflow_step_places (run_id, step_key, name, key, session_id) VALUES (p_run, p_step, p_name, p_key, p_session);
  RETURN true;
END
$take$;
`,
  (schema) => `
DROP FUNCTION ${schema}.workflow_take_place(text, text, text, text, bigint);
DROP FUNCTION ${schema}.workflow_reserve_slot(text, text, text);
DROP FUNCTION ${schema}.workflow_admit(text, text[], integer, double precision);
DROP FUNCTION ${schema}.workflow_next_slot(timestamptz, double precision, integer, timestamptz);
`,
);
