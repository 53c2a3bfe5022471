import type { RunStatus } from '../../core/run.js';
import type { Database, Statement } from '../database.js';

const RUNS: Statement = {
  name: 'durable_verify_runs',
  text: (schema) =>
    `SELECT r.id, r.name, r.status, r.start_nonce::text, r.session_id::text, r.epoch, r.wake_count, r.parent_run_id FROM unnest($1::text[]) AS x(id)
CROSS JOIN LATERAL (SELECT * FROM ${schema}.workflow_runs WHERE id = x.id LIMIT 1) AS r`,
};

const STEPS: Statement = {
  name: 'durable_verify_steps',
  text: (schema) => `SELECT s.run_id, s.step_key, s.epoch, s.seq FROM unnest($1::text[], $2::text[]) AS x(run_id, step_key)
CROSS JOIN LATERAL (SELECT * FROM ${schema}.workflow_steps WHERE run_id = x.run_id AND step_key = x.step_key LIMIT 1) AS s`,
};

/**
 * Columns of a run that show whether a write took effect, if the server's response to it was lost.
 */
export interface RunIdentity {
  readonly id: string;
  readonly name: string;
  readonly status: RunStatus;
  readonly nonce: string;
  readonly sessionId: string | null;
  readonly epoch: number;
  readonly wakeCount: number;
  readonly parentRunId: string | null;
}

export interface StepIdentity {
  readonly runId: string;
  readonly stepKey: string;
  readonly epoch: number;
  readonly seq: number;
}

export async function identifyRuns(database: Database, ids: readonly string[]): Promise<Map<string, RunIdentity>> {
  const rows = await database.query<[string, string, RunStatus, string, string | null, number, number, string | null]>(RUNS, [ids]);
  return new Map(
    rows.map(([id, name, status, nonce, sessionId, epoch, wakeCount, parentRunId]) => [
      id,
      { id, name, status, nonce, sessionId, epoch, wakeCount, parentRunId },
    ]),
  );
}

export async function identifySteps(
  database: Database,
  steps: readonly { readonly runId: string; readonly stepKey: string }[],
): Promise<StepIdentity[]> {
  const values = [steps.map((step) => step.runId), steps.map((step) => step.stepKey)];
  const rows = await database.query<[string, string, number, number]>(STEPS, values);
  return rows.map(([runId, stepKey, epoch, seq]) => ({ runId, stepKey, epoch, seq }));
}
