import type { DispatchKey } from '../../core/run.js';
import { COMPENSATION_PREFIX } from '../../core/step-key-format.js';
import type { Database, Statement } from '../database.js';
import { placeSql } from './places.js';
import { TERMINAL } from './run-status.js';
import { stepBytesSql } from './step-bytes.js';

/**
 * Creates a new run from a source run. Copies the input, the tags, the options, and the steps
 * before a given step. Does not copy the cancellation, the deadline or later steps. If steps are
 * copied, also copies the time of the first execution, the seed of the random numbers and the
 * published state: the code before the given step has used or set these values.
 *
 * The arguments of compensations are not copied. The source run undoes its steps, and the new run
 * only those that it executes itself. So no step is copied that the source run has undone later, or
 * may still undo: its compensations have begun, or a saga has failed and was not undone in full.
 */
const FORK: Statement = {
  name: 'durable_fork_run',
  text: (schema, lockTimeout) => `WITH source AS MATERIALIZED (
  SELECT * FROM ${schema}.workflow_runs WHERE id = $1
), cut AS MATERIALIZED (
  SELECT coalesce(min(s.seq), 2147483647) AS seq, bool_or(s.step_key = $3) AS found FROM source CROSS JOIN LATERAL (
    SELECT seq, step_key, kind FROM ${schema}.workflow_steps WHERE run_id = source.id OFFSET 0
  ) AS s WHERE s.step_key = $3 OR s.kind IN ('cancel', 'compensating')
), undoing AS MATERIALIZED (
  SELECT bool_or(s.kind = 'compensating') OR (bool_or(s.kind = 'saga' AND s.seq >= cut.seq)
      AND (source.status NOT IN ${TERMINAL} OR bool_or(s.kind = 'compensation' AND s.status = 'failed'))) AS yes
  FROM source, cut CROSS JOIN LATERAL (SELECT seq, kind, status FROM ${schema}.workflow_steps WHERE run_id = $1 OFFSET 0) AS s
  WHERE $3::text IS NOT NULL GROUP BY source.status
), undone AS MATERIALIZED (
  (SELECT o.step_key FROM cut CROSS JOIN LATERAL (
    SELECT step_key FROM ${schema}.workflow_steps WHERE run_id = $1 AND kind = 'compensation' AND seq >= cut.seq OFFSET 0
  ) AS c CROSS JOIN LATERAL (
    SELECT step_key FROM ${schema}.workflow_steps
    WHERE run_id = $1 AND step_key = substr(c.step_key, ${COMPENSATION_PREFIX.length + 1}) AND seq < cut.seq LIMIT 1
  ) AS o WHERE $3::text IS NOT NULL AND cut.found LIMIT 1)
  UNION ALL (SELECT o.step_key FROM undoing, cut CROSS JOIN LATERAL (
    SELECT step_key FROM ${schema}.workflow_steps
    WHERE run_id = $1 AND seq < cut.seq AND status = 'completed' AND compensate_args IS NOT NULL ORDER BY seq OFFSET 0
  ) AS o WHERE undoing.yes AND cut.found AND NOT EXISTS (
    SELECT 1 FROM ${schema}.workflow_steps c WHERE c.run_id = $1 AND c.step_key = '${COMPENSATION_PREFIX}' || o.step_key AND c.seq < cut.seq
  ) LIMIT 1)
  LIMIT 1
), copied AS (
  INSERT INTO ${schema}.workflow_steps
    (run_id, step_key, epoch, kind, seq, status, output, error, attempts, called_after, called_after_io, args_hash, started_at, finished_at)
  SELECT $2, s.step_key, 0, s.kind, s.seq, s.status, s.output, s.error, s.attempts,
    s.called_after, s.called_after_io, s.args_hash, s.started_at, s.finished_at
  FROM source CROSS JOIN LATERAL (SELECT * FROM ${schema}.workflow_steps WHERE run_id = source.id OFFSET 0) AS s, cut
  WHERE $3::text IS NOT NULL AND cut.found AND s.seq < cut.seq AND NOT EXISTS (SELECT 1 FROM undone)
  RETURNING ${stepBytesSql()} AS bytes
), history AS MATERIALIZED (
  SELECT count(*) AS steps, coalesce(sum(bytes), 0) AS bytes FROM copied
), run AS (
  INSERT INTO ${schema}.workflow_runs
    (id, name, version, queue, priority, input, start_nonce, deployment_id, created_at, status, ready_at,
      started_at, epoch, history_bytes, deadline_at, timeout_ms, forked_from, seed_run_id, trace_context,
      queue_key, place, schedule, due_at)
  SELECT $2, name, version, queue, priority, input, $4::bigint, $5, now(), 'pending', now(), CASE WHEN history.steps > 0 THEN started_at END,
    CASE WHEN history.steps > 0 THEN 1 ELSE 0 END, history.bytes, now() + timeout_ms * interval '1 millisecond', timeout_ms, id,
    CASE WHEN history.steps > 0 THEN coalesce(seed_run_id, id) END, $8::text, queue_key, ${placeSql(schema, 'source.queue')}, schedule, due_at
  FROM source, cut, history WHERE ($3::text IS NULL OR cut.found) IS TRUE AND NOT EXISTS (SELECT 1 FROM undone)
  RETURNING id, queue, name, version
), tags AS (
  INSERT INTO ${schema}.workflow_tags (run_id, key, value)
  SELECT run.id, t.key, t.value FROM run CROSS JOIN LATERAL (SELECT key, value FROM ${schema}.workflow_tags WHERE run_id = $1 OFFSET 0) AS t
), state AS (
  INSERT INTO ${schema}.workflow_state (run_id, key, value)
  SELECT run.id, s.key, s.value FROM run, history CROSS JOIN LATERAL (
    SELECT key, value FROM ${schema}.workflow_state WHERE run_id = $1 OFFSET 0
  ) AS s WHERE history.steps > 0
), logged AS (
  INSERT INTO ${schema}.workflow_run_log (run_id, kind, step_key, data)
  SELECT x.id, 'forked', $3, x.data FROM run CROSS JOIN LATERAL (VALUES ($1, $6::json), (run.id, $7::json)) AS x(id, data)
)
SELECT (SELECT count(*) FROM source)::int, run.queue, run.name, run.version, (SELECT step_key FROM undone) FROM (VALUES (1)) AS one LEFT JOIN run ON true WHERE true${lockTimeout}`,
};

/** Parameters of a fork. */
export interface RunFork {
  readonly runId: string;
  /** Id of the new run. */
  readonly newId: string;
  /** First step that is not copied. Null copies no step. */
  readonly fromStep: string | null;
  readonly nonce: string;
  readonly deploymentId: string;
  /**
   * JSON texts that say who forks the run and why. `note` is for the history of the source run, and
   * `noteOfNew` for that of the new run.
   */
  readonly note: string;
  readonly noteOfNew: string;
  /** Trace context of the call, in the stored form; absent or null when the call is not traced. */
  readonly traceContext?: string | null;
}

/**
 * Creates the new run, and returns its dispatch key. Returns `noRun` when the source run does not
 * exist, `noStep` when it has not recorded the step, and `undone` when a step that would be copied
 * was undone later. Nothing is written in these cases.
 */
export async function forkRun(database: Database, fork: RunFork): Promise<DispatchKey | 'noRun' | 'noStep' | { readonly undone: string }> {
  const { runId, newId, fromStep, nonce, deploymentId, note, noteOfNew, traceContext = null } = fork;
  const values = [runId, newId, fromStep, nonce, deploymentId, note, noteOfNew, traceContext];
  const [row] = await database.query<[number, string | null, string | null, number | null, string | null]>(FORK, values);
  const [sources, queue, name, version, undone] = row!;
  if (sources === 0) return 'noRun';
  if (undone !== null) return { undone };
  return queue === null || name === null || version === null ? 'noStep' : { queue, name, version };
}
