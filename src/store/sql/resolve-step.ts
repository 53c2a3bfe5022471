import type { RunStatus } from '../../core/run.js';
import type { Database, Statement } from '../database.js';
import { TERMINAL } from './run-status.js';

/**
 * Inserts the result of a step, as an operator provides it, into the run's inbox. The step may be
 * executing at this moment, so the run itself decides whether it still needs the result.
 */
const SEND: Statement = {
  name: 'durable_resolve_step',
  text: (schema) => `WITH run AS (
  SELECT r.id, r.status, EXISTS (SELECT 1 FROM ${schema}.workflow_steps s WHERE s.run_id = r.id AND s.step_key = $2) AS recorded
  FROM ${schema}.workflow_runs r WHERE r.id = $1
), open AS (
  SELECT id FROM run WHERE status NOT IN ${TERMINAL} AND NOT recorded
), sent AS (
  INSERT INTO ${schema}.workflow_inbox (run_id, kind, name, payload) SELECT id, $3, $2, $4::json FROM open
), logged AS (
  INSERT INTO ${schema}.workflow_run_log (run_id, kind, step_key, data) SELECT id, 'step_resolved', $2, $5::json FROM open
)
SELECT status, recorded FROM run`,
};

/** Result that an operator provides for a step. */
export interface StepResolution {
  readonly runId: string;
  readonly stepKey: string;
  readonly kind: 'resolve' | 'resolve_failed';
  /** JSON text of the output or the error. */
  readonly payload: string;
  /** JSON text that says who resolves the step and why. */
  readonly note: string;
}

/**
 * Inserts the result into the inbox of the run, unless the run has ended or has recorded the step.
 * The caller must notify the run with a separate statement. Undefined when no run has this id.
 */
export async function sendResolution(
  database: Database,
  { runId, stepKey, kind, payload, note }: StepResolution,
): Promise<{ readonly status: RunStatus; readonly isRecorded: boolean } | undefined> {
  const [row] = await database.deliver<[RunStatus, boolean]>(SEND, [runId, stepKey, kind, payload, note]);
  return row && { status: row[0], isRecorded: row[1] };
}
