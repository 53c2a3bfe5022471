import { RunNotFoundError, RunNotRetryableError } from '../../core/errors/index.js';
import { failedStepOf } from '../../core/failure.js';
import type { Payloads } from '../../core/payloads.js';
import type { DueRun } from '../../core/run.js';
import type { Database } from '../../store/database.js';
import { readFailedSteps } from '../../store/sql/read-steps.js';
import { readFailedRun, retryRun, type RunRetry } from '../../store/sql/retry-run.js';
import type { WhileLocked } from '../../store/row-lock-queues.js';

/** A failed run that can be retried. */
export interface RetryableRun {
  readonly runId: string;
  readonly generation: number;
  /** Key of the step that made the run fail. Undefined when the run failed outside a step. */
  readonly failedStep: string | undefined;
}

/**
 * Reads a failed run, and finds the step that made it fail.
 *
 * @throws RunNotFoundError, RunNotRetryableError
 */
export async function readRetryable(database: Database, payloads: Payloads, runId: string): Promise<RetryableRun> {
  const run = await readFailedRun(database, runId);
  if (!run) throw new RunNotFoundError(runId);
  const { status, generation, error } = run;
  if (status !== 'failed') throw new RunNotRetryableError(runId, status);
  const steps = error === null ? [] : await readFailedSteps(database, runId);
  const failed = steps.map((step) => ({ stepKey: step.stepKey, error: payloads.showError(step.error) }));
  return { runId, generation, failedStep: error === null ? undefined : failedStepOf(payloads.showError(error), failed) };
}

/**
 * Returns the parameters of a retry from the step that made the run fail. Does not retry the run.
 *
 * @throws RunNotFoundError, RunNotRetryableError
 */
export async function retryOf(database: Database, payloads: Payloads, runId: string, note: string): Promise<RunRetry> {
  const { generation, failedStep } = await readRetryable(database, payloads, runId);
  return { runId, generation, fromStep: failedStep ?? null, note };
}

/**
 * Retries a run, unless another caller has retried it first.
 *
 * @throws RunNotFoundError
 * @throws RunNotRetryableError when the run has changed since it was read
 */
export async function retryOnce(database: Database, whileLocked: WhileLocked, retry: RunRetry): Promise<DueRun> {
  const key = await whileLocked(() => retryRun(database, retry));
  if (key) return { id: retry.runId, ...key };
  const now = await readFailedRun(database, retry.runId);
  if (!now) throw new RunNotFoundError(retry.runId);
  // If the run is `failed` now, another caller has retried it and it has failed again. This retry
  // was made for the earlier failure, so it must not be applied. The error names `pending`, the
  // status that the other retry set.
  throw new RunNotRetryableError(retry.runId, now.status === 'failed' ? 'pending' : now.status);
}
