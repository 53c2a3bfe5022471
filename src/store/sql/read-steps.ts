import type { StepRecord } from '../../core/step.js';
import type { Database, Statement } from '../database.js';
import { STEP_COLUMNS, toStepRecord, type StepRow } from './load-histories.js';

const PAGE: Statement = {
  name: 'durable_read_steps',
  text: (schema) => `SELECT ${STEP_COLUMNS} FROM (
  SELECT p.*, sum(p.size) OVER (ORDER BY p.seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM (
    SELECT *, coalesce(octet_length(output::text), 0) + coalesce(octet_length(error::text), 0) AS size
    FROM ${schema}.workflow_steps WHERE run_id = $1 AND seq > $2::int ORDER BY seq LIMIT $3::int
  ) AS p
) AS s WHERE s.before IS NULL OR s.before < $4::bigint ORDER BY s.seq`,
};

/**
 * Reads a page of a run's recorded steps, in the order in which their results were recorded.
 *
 * @param after the `seq` of the last step before the page
 * @param bytes the page ends when its results have reached this size in bytes
 */
export async function readSteps(
  database: Database,
  runId: string,
  { after, limit, bytes }: { readonly after: number; readonly limit: number; readonly bytes: number },
): Promise<StepRecord[]> {
  return (await database.query<StepRow>(PAGE, [runId, after, limit, bytes])).map(toStepRecord);
}

const ONE: Statement = {
  name: 'durable_read_step',
  text: (schema) => `SELECT ${STEP_COLUMNS} FROM ${schema}.workflow_steps s WHERE s.run_id = $1 AND s.step_key = $2`,
};

export async function readStep(database: Database, runId: string, stepKey: string): Promise<StepRecord | undefined> {
  const [row] = await database.query<StepRow>(ONE, [runId, stepKey]);
  return row && toStepRecord(row);
}

const CANCELLED_BEFORE: Statement = {
  name: 'durable_cancelled_before',
  text: (schema) => `SELECT 1 FROM ${schema}.workflow_steps WHERE run_id = $1 AND kind = 'cancel' AND seq < $2::int LIMIT 1`,
};

/** True when the run received its cancellation before it recorded the step. */
export async function wasCancelledBefore(database: Database, runId: string, { seq }: StepRecord): Promise<boolean> {
  return (await database.query(CANCELLED_BEFORE, [runId, seq])).length > 0;
}

/** Maximum number of failed steps that are read per run. */
const FAILED_SEEN = 1_000;

const FAILED: Statement = {
  name: 'durable_read_failed_steps',
  text: (schema) => `SELECT s.step_key, s.error::text FROM ${schema}.workflow_steps s
WHERE s.run_id = $1 AND s.error IS NOT NULL AND s.kind NOT IN ('saga', 'compensating') ORDER BY s.seq DESC LIMIT ${FAILED_SEEN}`,
};

/**
 * Reads the last 1,000 steps that the run has recorded with an error, oldest first. Errors are JSON
 * text.
 */
export async function readFailedSteps(database: Database, runId: string): Promise<{ stepKey: string; error: string }[]> {
  const rows = await database.query<[string, string]>(FAILED, [runId]);
  return rows.map(([stepKey, error]) => ({ stepKey, error })).reverse();
}
