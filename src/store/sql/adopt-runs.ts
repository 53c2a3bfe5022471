import type { Database, Statement } from '../database.js';

/** Number of runs that one statement brings under the limits of a queue. */
const ADOPTED_RUNS = 2_000;
/** Number of runs that one statement of the sweep reads. */
const READ_RUNS = 5_000;

/**
 * Brings due runs under the limits of their queue that were started before the queue had limits.
 * SKIP LOCKED leaves out runs that another statement changes.
 */
const ADOPT_PENDING: Statement = {
  name: 'durable_adopt_runs',
  text: (schema) => `WITH found AS MATERIALIZED (
  SELECT r.id FROM ${schema}.workflow_queues q CROSS JOIN LATERAL (
    SELECT r.id FROM ${schema}.workflow_runs r
    WHERE r.status = 'pending' AND r.worker_losses < 2 AND r.queue = q.name AND r.place IS NULL LIMIT ${ADOPTED_RUNS} FOR NO KEY UPDATE SKIP LOCKED
  ) AS r WHERE q.kind = 'queue' AND q.is_limited LIMIT ${ADOPTED_RUNS}
)
UPDATE ${schema}.workflow_runs r SET place = 'outside', status = r.status FROM found WHERE r.id = ANY (ARRAY[found.id]) RETURNING 1`,
};

/**
 * Brings due runs under the limits of their queues. Returns true when there may be more of them.
 */
export async function adoptPending(database: Database): Promise<boolean> {
  return (await database.query(ADOPT_PENDING, [])).length === ADOPTED_RUNS;
}

/** Counts runs that are being executed towards the limits of their queue. Reads only such runs. */
const ADOPT_RUNNING: Statement = {
  name: 'durable_adopt_running_runs',
  text: (schema) => `WITH found AS MATERIALIZED (
  SELECT r.id FROM ${schema}.workflow_runs r
  WHERE r.status = 'running' AND r.queue = $1 AND r.place IS NULL ORDER BY r.session_id LIMIT ${ADOPTED_RUNS} FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE ${schema}.workflow_runs r SET place = 'outside', status = r.status FROM found WHERE r.id = ANY (ARRAY[found.id]) RETURNING 1`,
};

/**
 * Brings runs of a queue that has just got limits under these limits: those that are executed, and
 * up to 2,000 that are due. Takes two short statements, however many runs the table has. The sweep
 * looks for all others.
 */
export async function adoptFirst(database: Database, queue: string): Promise<void> {
  await database.query(ADOPT_RUNNING, [queue]);
  await adoptPending(database);
}

const UNFINISHED: Statement = {
  name: 'durable_unadopted_queue',
  text: (schema) =>
    `SELECT name, adopting_after FROM ${schema}.workflow_queues WHERE kind = 'queue' AND adopting_after IS NOT NULL ORDER BY name LIMIT 1`,
};

/**
 * Adopts the runs of a queue among the next runs of the table, which are read one by one: for many
 * rows at once, PostgreSQL may read and sort the whole table. The slice ends before the first run
 * that another statement has locked, so the next slice looks at that run again.
 */
const ADOPT_SLICE: Statement = {
  name: 'durable_adopt_slice',
  text: (schema) => {
    const next = (after: string): string => `
    SELECT r.id, r.queue = $1 AND r.status IN ('pending', 'running', 'waiting', 'paused') AND r.place IS NULL AS is_wanted
    FROM ${schema}.workflow_runs r WHERE r.id > ${after} ORDER BY r.id LIMIT 1`;
    return `WITH RECURSIVE slice AS (
  (SELECT first.*, 1 AS n FROM (${next('$2')}) AS first)
  UNION ALL
  SELECT following.*, slice.n + 1 FROM slice CROSS JOIN LATERAL (${next('slice.id')}) AS following WHERE slice.n < ${READ_RUNS}
), locked AS MATERIALIZED (
  SELECT r.id FROM (SELECT id FROM slice WHERE is_wanted ORDER BY id) AS s CROSS JOIN LATERAL (
    SELECT r.id FROM ${schema}.workflow_runs r WHERE r.id = s.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
  ) AS r
), adopted AS (
  UPDATE ${schema}.workflow_runs r SET place = 'outside', status = r.status
  FROM locked WHERE r.id = ANY (ARRAY[locked.id]) AND r.place IS NULL AND r.status IN ('pending', 'running', 'waiting', 'paused')
  RETURNING 1
), missed AS MATERIALIZED (
  SELECT min(s.id) AS id FROM slice s WHERE s.is_wanted AND (s.id IN (SELECT l.id FROM locked l)) IS NOT TRUE
)
SELECT count(*)::int, max(s.id) FILTER (WHERE (s.id >= (SELECT id FROM missed)) IS NOT TRUE), (SELECT id FROM missed) IS NOT NULL FROM slice s`;
  },
};

const PROGRESS: Statement = {
  name: 'durable_adoption_progress',
  text: (schema, lockTimeout) =>
    `UPDATE ${schema}.workflow_queues SET adopting_after = $3 WHERE kind = 'queue' AND name = $1 AND adopting_after = $2${lockTimeout}`,
};

/**
 * Looks at the next 5,000 runs of the table, for a queue that has got its first limits. Several
 * processes may do so at the same time.
 *
 * @returns `done` when no queue needs a look, `locked` when the next run is locked
 */
export async function adoptSlice(database: Database): Promise<'done' | 'more' | 'locked'> {
  const [row] = await database.query<[string, string]>(UNFINISHED, []);
  if (!row) return 'done';
  const [queue, after] = row;
  const [[count, last, isMissed]] = (await database.query(ADOPT_SLICE, [queue, after])) as [[number, string | null, boolean]];
  const isOver = count < READ_RUNS && !isMissed;
  await database.query(PROGRESS, [queue, after, isOver ? null : (last ?? after)]);
  return isMissed && last === null ? 'locked' : 'more';
}
