import { migration } from './migration.js';

/** Number of lost workers from which a run is claimed separately. */
const SUSPECT_LOSSES = 2;

/** Text of the function of a later migration, where the function differs from this one. */
export interface AdmissionForm {
  readonly name: string;
  /** Further columns of the result, further variables, and further rows of a key to look at. */
  readonly columns: string;
  readonly variables: string;
  readonly reserve: string;
  /** SQL before the search for candidates of the key `k`. */
  readonly beforeKey?: (schema: string) => string;
  /** Looks in later turns only at keys that used all that an earlier turn allowed. */
  readonly remembersKeys?: true;
  /** SQL before and after the admission of a run. */
  readonly before: (label: string) => string;
  readonly after: (label: string) => string;
}

/** The function of this migration. */
export const TOGETHER: AdmissionForm = {
  name: 'workflow_admit_and_claim',
  columns: '',
  variables: '',
  reserve: '',
  before: () => '',
  after: () => '',
};

/**
 * SQL that admits one run, and claims the run while there is room. `candidate` has the id, the
 * key and `is_new`. Leaves the loop `label` when the rate limit of the whole queue allows no
 * further run.
 */
const admitSql = (schema: string, label: string, { before, after }: AdmissionForm): string => `${before(label)}
    slot := NULL;
    IF candidate.is_new AND q.interval_ms IS NOT NULL THEN
      slot := ${schema}.workflow_next_slot(q.arrival_at, q.interval_ms, q.burst, at_now);
      IF slot > horizon THEN
        is_closed := true;
        more := least(more, slot);
        EXIT ${label};
      END IF;
    END IF;
    IF candidate.is_new AND q.key_interval_ms IS NOT NULL AND candidate.queue_key <> '' THEN
      SELECT a.arrival_at INTO key_arrival FROM ${schema}.workflow_queue_keys a
      WHERE a.kind = 'queue' AND a.name = p_queue AND a.key = candidate.queue_key;
      key_slot := ${schema}.workflow_next_slot(key_arrival, q.key_interval_ms, q.key_burst, at_now);
      IF key_slot > horizon THEN
        more := least(more, key_slot);
        EXIT;
      END IF;
      slot := greatest(slot, key_slot);
      INSERT INTO ${schema}.workflow_queue_keys AS a (kind, name, key, arrival_at)
      VALUES ('queue', p_queue, candidate.queue_key, greatest(key_arrival, slot) + q.key_interval_ms * interval '1 millisecond')
      ON CONFLICT ON CONSTRAINT workflow_queue_keys_pkey DO UPDATE SET arrival_at = excluded.arrival_at;
    END IF;
    IF candidate.is_new AND q.interval_ms IS NOT NULL THEN
      q.arrival_at := greatest(q.arrival_at, slot) + q.interval_ms * interval '1 millisecond';
    END IF;
    is_claimed := room > 0 AND candidate.worker_losses < ${SUSPECT_LOSSES}
      AND (candidate.blocked_deployments IS NULL OR NOT (p_deployment = ANY (candidate.blocked_deployments)))
      AND EXISTS (SELECT 1 FROM unnest(p_names, p_versions) AS k(name, version) WHERE k.name = candidate.name AND k.version = candidate.version);
    IF is_claimed THEN
      UPDATE ${schema}.workflow_runs r SET status = 'running', place = CASE WHEN q.counts_suspended THEN 'kept' ELSE 'admitted' END,
        ready_at = NULL, opens_at = slot, session_id = p_session, epoch = r.epoch + 1, started_at = coalesce(r.started_at, at_now)
      WHERE r.id = candidate.id RETURNING r.* INTO run;
      room := room - 1;
    ELSE
      UPDATE ${schema}.workflow_runs r SET status = 'pending', place = CASE WHEN q.counts_suspended THEN 'kept' ELSE 'admitted' END,
        ready_at = at_now, opens_at = slot
      WHERE r.id = candidate.id RETURNING r.* INTO run;
    END IF;
    -- The wait for a place is no delay of the claim.
    due_at := at_now;
    free := free - 1;
    given := given + 1;
    RETURN NEXT;${after(label)}`;

const SERVER = '(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint::text';

/** Builds SQL that creates the function. */
export const admissionSql = (
  schema: string,
  form: AdmissionForm,
): string => `-- Admits queued runs of a queue, and claims up to p_room of them for a session. With keys, looks
-- only at these keys, unless a limit for the whole queue makes the keys take turns. The last row has
-- no run: more_ms is the time until the rate limit allows more, or NULL.
CREATE FUNCTION ${schema}.${form.name}(p_queue text, p_keys text[], p_most integer, p_ahead_ms double precision,
  p_session bigint, p_server text, p_room integer, p_names text[], p_versions integer[], p_deployment text)
RETURNS TABLE (run ${schema}.workflow_runs, due_at timestamptz, is_claimed boolean, more_ms double precision${form.columns}) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $admit$
#variable_conflict use_column
DECLARE
  q record;
  candidate record;
  k text;
  free integer := p_most;
  room integer := p_room;
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
  is_shared boolean;${form.variables}${
    form.remembersKeys
      ? `
  again text[];
  next_again text[];
  key_before integer;
  key_capacity integer;`
      : ''
  }
BEGIN
  -- Sessions are locked before queues. A session that has ended claims nothing. A role that executes
  -- no runs may lack the right to lock sessions.
  IF p_room > 0 THEN
    PERFORM 1 FROM ${schema}.workflow_sessions s WHERE s.id = p_session AND p_server = ${SERVER} FOR KEY SHARE SKIP LOCKED;
    IF NOT FOUND THEN room := 0; END IF;
  END IF;
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
          AND (p_keys IS NULL OR is_shared)${form.remembersKeys ? ' AND again IS NULL' : ''} ORDER BY r.queue_key LIMIT 1)
        UNION ALL
        SELECT n.queue_key FROM above CROSS JOIN LATERAL (
          SELECT r.queue_key FROM ${schema}.workflow_runs r WHERE r.place = 'queued' AND r.queue = p_queue AND r.queue_key > above.queue_key
          ORDER BY r.queue_key LIMIT 1) AS n
      ), below AS (
        (SELECT r.queue_key FROM ${schema}.workflow_runs r WHERE r.place = 'queued' AND r.queue = p_queue
          AND (p_keys IS NULL OR is_shared)${form.remembersKeys ? ' AND again IS NULL' : ''} ORDER BY r.queue_key LIMIT 1)
        UNION ALL
        SELECT n.queue_key FROM below CROSS JOIN LATERAL (
          SELECT r.queue_key FROM ${schema}.workflow_runs r WHERE r.place = 'queued' AND r.queue = p_queue AND r.queue_key > below.queue_key
          ORDER BY r.queue_key LIMIT 1) AS n
        WHERE below.queue_key <= q.last_key
      )
      SELECT a.queue_key FROM above a
      UNION ALL SELECT b.queue_key FROM below b WHERE b.queue_key <= q.last_key
      UNION ALL SELECT x.queue_key FROM unnest(p_keys) AS x(queue_key) WHERE NOT is_shared${form.remembersKeys ? '\n      UNION ALL SELECT y.queue_key FROM unnest(again) AS y(queue_key)' : ''}
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
${form.beforeKey?.(schema) ?? ''}      IF is_shared THEN q.last_key := k; END IF;${form.remembersKeys ? '\n      key_before := given;\n      key_capacity := capacity;' : ''}
      FOR candidate IN
        SELECT r.id, r.name, r.version, r.queue_key, r.started_at IS NULL AS is_new, r.worker_losses, r.blocked_deployments
        FROM ${schema}.workflow_runs r
        WHERE r.place = 'queued' AND r.queue = p_queue AND r.queue_key = k
        ORDER BY (r.started_at IS NULL), r.priority DESC, r.ready_at LIMIT capacity${form.reserve} FOR NO KEY UPDATE SKIP LOCKED
      LOOP${admitSql(schema, 'turns', form)}
      END LOOP;${form.remembersKeys ? '\n      IF given - key_before >= key_capacity THEN next_again := array_append(next_again, k); END IF;' : ''}
    END LOOP;
    EXIT WHEN given = given_before OR (p_keys IS NOT NULL AND NOT is_shared);
    quantum := quantum * 2;${form.remembersKeys ? "\n    again := coalesce(next_again, '{}');\n    next_again := NULL;" : ''}
  END LOOP;
  -- Without turns, runs are admitted in their order. Runs that have started need no slot of the rate
  -- limit, so they continue while the limit admits no new run.
  IF free > 0 AND (q.is_fifo OR is_closed) THEN
    <<ordered>>
    FOR candidate IN
      SELECT r.id, r.name, r.version, r.queue_key, r.started_at IS NULL AS is_new, r.worker_losses, r.blocked_deployments
      FROM ${schema}.workflow_runs r
      WHERE r.place = 'queued' AND r.status = 'waiting' AND r.queue = p_queue AND (r.started_at IS NULL) <= (NOT is_closed)
      ORDER BY (r.started_at IS NULL), r.priority DESC, r.ready_at LIMIT greatest(p_most, 200) FOR NO KEY UPDATE SKIP LOCKED
    LOOP
      EXIT WHEN free <= 0;
      IF q.key_concurrency IS NOT NULL AND candidate.queue_key <> '' THEN
        SELECT count(*) INTO used FROM (
          SELECT 1 FROM ${schema}.workflow_runs r WHERE r.queue = p_queue AND r.queue_key = candidate.queue_key AND r.place IN ('admitted', 'kept')
          LIMIT q.key_concurrency) AS held;
        CONTINUE WHEN used >= q.key_concurrency;
      END IF;${admitSql(schema, 'ordered', form).replace('EXIT;', 'CONTINUE;')}
    END LOOP;
  END IF;
  IF given > 0 THEN
    UPDATE ${schema}.workflow_queues w SET arrival_at = q.arrival_at, last_key = q.last_key WHERE w.kind = 'queue' AND w.name = p_queue;
  END IF;
  -- Nothing depends on an admission before a claim, whose commit waits for the disk.
  IF room = p_room THEN PERFORM set_config('synchronous_commit', 'off', true); END IF;
  run := NULL;
  due_at := NULL;
  is_claimed := false;
  -- The CASE keeps NULL, which greatest() would ignore.
  more_ms := CASE WHEN given >= p_most THEN 0
    WHEN more IS NOT NULL THEN greatest(1, extract(epoch FROM more - clock_timestamp()) * 1000 - p_ahead_ms / 2) END;
  IF more_ms IS NOT NULL THEN RETURN NEXT; END IF;
END
$admit$;
`;

/**
 * Adds the function that admits runs like `workflow_admit`, and claims them for a worker in the
 * same statement. A place that is free again then costs one commit instead of two, and each run one
 * change instead of two.
 *
 * Runs that were started by the name of their workflow alone are admitted, but not claimed: only a
 * claim by dispatch key chooses their version.
 */
export const ClaimingAdmission1764400010001 = migration(
  'ClaimingAdmission1764400010001',
  (schema) => `
-- The order within the queue has a condition that a search by key lacks. So the planner cannot choose
-- this index for a key, and filter all runs of the queue.
DROP INDEX ${schema}.workflow_runs_order_idx;
CREATE INDEX workflow_runs_order_idx ON ${schema}.workflow_runs (queue, (started_at IS NULL), priority DESC, ready_at)
  WHERE place = 'queued' AND status = 'waiting';
${admissionSql(schema, TOGETHER)}`,
  (schema) => `
DROP FUNCTION ${schema}.workflow_admit_and_claim(text, text[], integer, double precision, bigint, text, integer, text[], integer[], text);
DROP INDEX ${schema}.workflow_runs_order_idx;
CREATE INDEX workflow_runs_order_idx ON ${schema}.workflow_runs (queue, (started_at IS NULL), priority DESC, ready_at) WHERE place = 'queued';
`,
);
