import { RunNotFoundError, RunNotRetryableError } from '../../core/errors/index.js';
import { failedStepOf } from '../../core/failure.js';
import type { Payloads } from '../../core/payloads.js';
import type { DueRun } from '../../core/run.js';
import type { Database } from '../../store/database.js';
import { readFailedSteps, readStep } from '../../store/sql/read-steps.js';
import { findUndoneStep, readFailedRun, retryRun, type RunRetry } from '../../store/sql/retry-run.js';
import type { WhileLocked } from '../../store/row-lock-queues.js';
import { recordedStepKey } from './step-key.js';

/** A failed run that can be retried. */
export interface RetryableRun {
  readonly runId: string;
  readonly generation: number;
  /** Step from which the run continues: the one that made it fail, unless the caller named one. */
  readonly fromStep: string | null;
}

/**
 * Reads a failed run, and decides from which step it continues. A run that undoes its steps
 * continues with the compensations that have failed.
 *
 * @param wanted key of the step that the caller named; undefined for the step that made the run
 *   fail
 * @throws RunNotFoundError, RunNotRetryableError
 * @throws InvalidInputError when the run has not recorded the named step
 */
export async function readRetryable(database: Database, payloads: Payloads, runId: string, wanted?: string): Promise<RetryableRun> {
  const run = await readFailedRun(database, runId);
  if (!run) throw new RunNotFoundError(runId);
  const { status, generation, isCompensated, isUndoing, hasUndone, isBatch } = run;
  if (status !== 'failed') throw new RunNotRetryableError(runId, status);
  if (isBatch) throw new RunNotRetryableError(runId, status, 'batch');
  if (isCompensated) throw new RunNotRetryableError(runId, status, 'compensated');
  const named = wanted === undefined ? undefined : await recordedStepKey(database, runId, wanted, 'options.fromStep');
  if (isUndoing) {
    if (named !== undefined && !(await isFailedCompensation(database, runId, named)))
      throw new RunNotRetryableError(runId, status, 'compensating');
    return { runId, generation, fromStep: named ?? null };
  }
  const fromStep = named ?? (await findFailedStep(database, payloads, runId, run.error));
  if (hasUndone && fromStep !== undefined && (await findUndoneStep(database, runId, fromStep)) !== undefined)
    throw new RunNotRetryableError(runId, status, 'undone');
  return { runId, generation, fromStep: fromStep ?? null };
}

async function findFailedStep(database: Database, payloads: Payloads, runId: string, error: string | null): Promise<string | undefined> {
  if (error === null) return undefined;
  const steps = await readFailedSteps(database, runId);
  const failed = steps.map((step) => ({ stepKey: step.stepKey, error: payloads.showError(step.error) }));
  return failedStepOf(payloads.showError(error), failed);
}

async function isFailedCompensation(database: Database, runId: string, stepKey: string): Promise<boolean> {
  const step = await readStep(database, runId, stepKey);
  return step?.kind === 'compensation' && step.status === 'failed';
}

/**
 * Returns the parameters of a retry from the step that made the run fail. Does not retry the run.
 *
 * @throws RunNotFoundError, RunNotRetryableError
 */
export async function retryOf(database: Database, payloads: Payloads, runId: string, note: string): Promise<RunRetry> {
  return { ...(await readRetryable(database, payloads, runId)), note };
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
