import type { DispatchKey, RunStatus } from '../../core/run.js';
import type { StepRecord } from '../../core/step.js';
import { COMPENSATION_PREFIX, isHookKeySql, signalNameSql } from '../../core/step-key-format.js';
import type { Database, Statement } from '../database.js';
import { KEPT_BY_FAILED } from './message-kinds.js';
import { stepBytesSql } from './step-bytes.js';
import type { PoolClient } from 'pg';

/** Condition for a failed compensation among the steps `s`. */
const FAILED_COMPENSATION = `(s.kind = 'compensation' AND s.status = 'failed')`;

/** Condition for a step that shows that compensations have begun, or that one has failed. */
const UNDOING = `(s.kind = 'compensating' OR ${FAILED_COMPENSATION})`;

/**
 * Makes a failed run due again, in its next generation.
 *
 * - Once compensations have begun, only failed compensations move to the run log. The run
 * then continues with these, and repeats no compensation that has succeeded. Calls that were made
 * after a failed compensation no longer count its result. There are such calls when other branches
 * of the code went on while a saga was undone.
 * - The given step and all later steps move to the run log. If a deadline or a cancellation was
 * recorded before that step, the steps from the deadline or cancellation on move too. A replay of
 * the deadline or cancellation would end the run at once.
 * - Messages that the removed steps had taken return to the inbox, before newer messages. A step
 * that has recorded null returns no message, because a wait that timed out also records null.
 * - Waits for running children stay, and the run waits again when its code reaches them.
 * - The raised epoch keeps a late flush of the former owner from writing anything.
 * - The parent has already reacted to the failure, so it is not notified again.
 * - Requests to cancel, pause or resolve were meant for the failed run, and are deleted.
 */
const retryText = (schema: string, lockTimeout: string, from: 'a call' | 'a transaction'): string => `WITH run AS MATERIALIZED (
  SELECT id, epoch, generation, error, finished_at FROM ${schema}.workflow_runs
  WHERE id = $1 AND status = 'failed' AND generation = $2::int AND batch_size IS NULL FOR NO KEY UPDATE ${from === 'a call' ? 'NOWAIT' : 'SKIP LOCKED'}
), undoing AS MATERIALIZED (
  SELECT count(*) > 0 AS yes FROM run CROSS JOIN LATERAL (
    SELECT kind, status FROM ${schema}.workflow_steps WHERE run_id = run.id OFFSET 0
  ) AS s WHERE ${UNDOING}
), cut AS MATERIALIZED (
  SELECT coalesce(min(s.seq), 2147483647) AS seq FROM undoing, run CROSS JOIN LATERAL (
    SELECT seq, step_key, kind FROM ${schema}.workflow_steps WHERE run_id = run.id OFFSET 0
  ) AS s WHERE NOT undoing.yes AND (s.step_key = $3 OR s.kind = 'cancel')
), kept AS MATERIALIZED (
  SELECT coalesce(sum(${stepBytesSql('s.')}), 0) AS bytes FROM run CROSS JOIN LATERAL (
    SELECT seq, kind, status, output, error, compensate_args FROM ${schema}.workflow_steps WHERE run_id = run.id OFFSET 0
  ) AS s, cut WHERE s.seq < cut.seq AND NOT ${FAILED_COMPENSATION}
), removed AS (
  DELETE FROM ${schema}.workflow_steps s USING run, cut WHERE s.run_id = ANY (ARRAY[run.id])
    AND (s.seq >= cut.seq OR ${FAILED_COMPENSATION}) RETURNING s.*
), failed AS MATERIALIZED (
  SELECT s.place FROM run CROSS JOIN LATERAL (
    SELECT step_key, kind, status, row_number() OVER (ORDER BY seq) AS place FROM ${schema}.workflow_steps WHERE run_id = run.id OFFSET 0
  ) AS s WHERE ${FAILED_COMPENSATION} AND NOT ($5 = 'step_resolved' AND s.step_key = $3)
), renumbered AS (
  UPDATE ${schema}.workflow_steps s SET called_after = s.called_after - (SELECT count(*) FROM failed f WHERE f.place <= s.called_after)
  FROM run WHERE s.run_id = ANY (ARRAY[run.id]) AND NOT ${FAILED_COMPENSATION} AND s.called_after >= (SELECT min(place) FROM failed)
), archived AS (
  INSERT INTO ${schema}.workflow_run_log (run_id, epoch, kind, step_key, attempt, data)
  SELECT s.run_id, s.epoch, 'step_archived', s.step_key, s.attempts, json_build_object('generation', run.generation, 'kind', s.kind, 'seq', s.seq,
    'status', s.status, 'output', CASE WHEN s.kind = 'step' AND ${isHookKeySql('s.step_key')} THEN NULL ELSE s.output END, 'error', s.error, 'startedAt', s.started_at, 'finishedAt', s.finished_at)
  FROM run, removed s ORDER BY s.seq
  RETURNING 1
), failure AS (
  INSERT INTO ${schema}.workflow_run_log (run_id, epoch, kind, attempt, data, at)
  SELECT id, epoch, 'run_failed', generation, error, finished_at FROM run RETURNING 1
), logged AS (
  INSERT INTO ${schema}.workflow_run_log (run_id, epoch, kind, step_key, attempt, data)
  SELECT id, epoch + 1, $5, $6, generation + 1, $4::json FROM run WHERE (SELECT count(*) FROM archived) + (SELECT count(*) FROM failure) >= 0
), waits AS (
  DELETE FROM ${schema}.workflow_waits w USING run WHERE w.run_id = ANY (ARRAY[run.id]) AND w.kind <> 'child'
), hook AS (
  SELECT min(h.token) AS token FROM run CROSS JOIN LATERAL (SELECT token FROM ${schema}.workflow_hooks WHERE run_id = run.id OFFSET 0) AS h HAVING count(*) = 1
), waiting AS (
  DELETE FROM ${schema}.workflow_inbox i USING run WHERE i.run_id = ANY (ARRAY[run.id]) RETURNING i.*
), messages AS (
  INSERT INTO ${schema}.workflow_inbox (run_id, kind, name, payload)
  SELECT $1, m.kind, m.name, m.payload FROM (
    SELECT 0 AS age, seq::bigint AS place, kind, ${signalNameSql('step_key')} AS name, output AS payload
    FROM removed WHERE kind = 'signal' AND output::text <> 'null'
    UNION ALL SELECT 0, seq, kind, hook.token, output FROM removed, hook WHERE kind = 'hook' AND output::text <> 'null'
    UNION ALL SELECT 1, id, kind, name, payload FROM waiting WHERE kind IN ${KEPT_BY_FAILED}
  ) AS m ORDER BY m.age, m.place
)
UPDATE ${schema}.workflow_runs r SET
  status = 'pending', ready_at = now(), wake_at = NULL, finished_at = NULL,
  generation = r.generation + 1, epoch = r.epoch + 1, wake_count = r.wake_count + 1,
  output = NULL, error = NULL, error_code = NULL, failed_step = NULL, continued_as = NULL,
  cancel_requested_at = CASE WHEN undoing.yes THEN r.cancel_requested_at END,
  worker_losses = 0, exclusive_losses = 0, blocked_deployments = NULL, is_blocked = false, parent_step_key = NULL,
  deadline_at = now() + r.timeout_ms * interval '1 millisecond',
  history_bytes = kept.bytes
FROM run, kept, undoing WHERE r.id = ANY (ARRAY[run.id])${lockTimeout}
RETURNING r.queue, r.name, r.version, r.epoch`;

/**
 * Retries one run. Fails at once when the run's row is locked. The caller then waits without a
 * database connection, and tries again.
 */
const RETRY: Statement = { name: 'durable_retry_run', text: (schema, lockTimeout) => retryText(schema, lockTimeout, 'a call') };

/** Retries one of several runs in a transaction. Skips the run when its row is locked. */
const RETRY_ONE_OF_MANY: Statement = {
  name: 'durable_retry_one',
  text: (schema, lockTimeout) => retryText(schema, lockTimeout, 'a transaction'),
};

const REPLACE: Statement = {
  name: 'durable_replace_step',
  text: (schema) => `INSERT INTO ${schema}.workflow_steps
  (run_id, step_key, epoch, kind, seq, status, output, error, attempts, called_after, called_after_io, args_hash, started_at, finished_at,
    compensate_args)
VALUES ($1, $2, $3, $4, $5, $6, $7::json, $8::json, $9, $10, $11, $12, to_timestamp($13::float8 / 1000), now(), $14::json)`,
};

/** Parameters of a retry. */
export interface RunRetry {
  readonly runId: string;
  /**
   * Generation of the failed run that the operator decided to retry. Of two operators who retry the
   * same generation, only the first one succeeds.
   */
  readonly generation: number;
  /** First step that is removed. Null removes no step. */
  readonly fromStep: string | null;
  /** JSON text that says who retries the run and why. */
  readonly note: string;
  /** Result to record for the step `fromStep`, which is then not executed again. */
  readonly replacement?: StepRecord;
}

/**
 * Retries a failed run, in one transaction. Returns its dispatch key. Undefined when the run is not
 * failed or has another generation, or when a client is given and the run's row is locked.
 *
 * @param client client whose open transaction is used
 */
export async function retryRun(database: Database, retry: RunRetry, client?: PoolClient): Promise<DispatchKey | undefined> {
  if (retry.replacement && !client) return database.transaction((own) => retryIn(database, retry, RETRY, own));
  return retryIn(database, retry, client ? RETRY_ONE_OF_MANY : RETRY, client);
}

async function retryIn(database: Database, retry: RunRetry, statement: Statement, client?: PoolClient): Promise<DispatchKey | undefined> {
  const { replacement } = retry;
  const event = replacement ? ['step_resolved', replacement.stepKey] : ['retried', retry.fromStep];
  const values = [retry.runId, retry.generation, retry.fromStep, retry.note, ...event];
  const [row] = await database.query<[string, string, number, number]>(statement, values, client);
  if (!row) return undefined;
  const [queue, name, version, epoch] = row;
  if (replacement) {
    const { stepKey, kind, seq, status, output, error, attempts, calledAfter, calledAfterIo, argsHash, startedAt, compensateArgs } =
      replacement;
    const called = [calledAfter, calledAfterIo, argsHash, startedAt];
    // Without the arguments, the run would not undo the step when it fails later.
    const step = [retry.runId, stepKey, epoch, kind, seq, status, output, error, attempts, ...called, compensateArgs ?? null];
    await database.query(REPLACE, step, client);
  }
  return { queue, name, version };
}

const RETRYABLE: Statement = {
  name: 'durable_read_failed_run',
  text: (
    schema,
  ) => `SELECT r.status, r.generation, r.error::text, u.compensated, u.undoing, u.undone, r.batch_size IS NOT NULL FROM ${schema}.workflow_runs r
CROSS JOIN LATERAL (
  SELECT coalesce(bool_or(s.kind = 'compensated'), false) AS compensated, coalesce(bool_or(${UNDOING}), false) AS undoing,
    coalesce(bool_or(s.kind = 'compensation'), false) AS undone
  FROM ${schema}.workflow_steps s WHERE r.status = 'failed' AND s.run_id = r.id
) AS u WHERE r.id = $1`,
};

const UNDONE: Statement = {
  name: 'durable_find_undone_step',
  text: (schema) => `SELECT o.step_key FROM ${schema}.workflow_steps cut
JOIN ${schema}.workflow_steps c ON c.run_id = cut.run_id AND c.kind = 'compensation' AND c.seq >= cut.seq
JOIN ${schema}.workflow_steps o ON o.run_id = cut.run_id AND o.step_key = substr(c.step_key, ${COMPENSATION_PREFIX.length + 1}) AND o.seq < cut.seq
WHERE cut.run_id = $1 AND cut.step_key = $2 ORDER BY o.seq LIMIT 1`,
};

/**
 * Finds a step before `fromStep` that was undone at or after `fromStep`. A run that continued from
 * `fromStep` would rely on a step that no longer has its effect.
 */
export async function findUndoneStep(database: Database, runId: string, fromStep: string): Promise<string | undefined> {
  const [row] = await database.query<[string]>(UNDONE, [runId, fromStep]);
  return row?.[0];
}

/** Columns that decide whether a run is retried, and from which step. */
export interface FailedRun {
  readonly status: RunStatus;
  readonly generation: number;
  /** JSON text. */
  readonly error: string | null;
  /** True when all compensations of the run have succeeded. */
  readonly isCompensated: boolean;
  /** True when the run's compensations have begun and not ended, or one of a saga has failed. */
  readonly isUndoing: boolean;
  /** True when the run has recorded a compensation. */
  readonly hasUndone: boolean;
  /** True when the run is a batch, whose members are retried instead. */
  readonly isBatch: boolean;
}

export async function readFailedRun(database: Database, runId: string): Promise<FailedRun | undefined> {
  const [row] = await database.query<[RunStatus, number, string | null, boolean, boolean, boolean, boolean]>(RETRYABLE, [runId]);
  if (!row) return undefined;
  const [status, generation, error, isCompensated, isUndoing, hasUndone, isBatch] = row;
  return { status, generation, error, isCompensated, isUndoing, hasUndone, isBatch };
}
