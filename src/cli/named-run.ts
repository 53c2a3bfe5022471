import { RunEndedError, RunNotEndedError, RunNotRetryableError } from '../core/errors/index.js';
import { isTerminal, type RunStatus } from '../core/run.js';
import type { Connection } from './connection.js';

/** Run that a command is about to change. */
export interface NamedRun {
  /** Id of the current run of the chain. */
  readonly runId: string;
  readonly status: RunStatus;
  /** The run in words for a question: `run "order-7" ("order" version 1, waiting)`. */
  readonly inWords: string;
}

/**
 * Reads the run that the user names, or the last run that continues it.
 *
 * @throws RunNotFoundError when no run has this id
 */
export async function readNamedRun({ client }: Connection, named: string): Promise<NamedRun> {
  const { runId, name, version, status } = await client.describe(named);
  // A run that another run continues has completed.
  return {
    runId,
    status: status === 'continued' ? 'completed' : status,
    inWords: `run "${runId}" ("${name}" version ${version}, ${status})`,
  };
}

/**
 * Checks that a run can be asked to stop, or ended.
 *
 * @throws RunEndedError when the run has ended
 */
export function checkActive({ runId, status }: NamedRun): void {
  if (isTerminal(status)) throw new RunEndedError(runId);
}

/**
 * Checks that a run can be deleted.
 *
 * @throws RunNotEndedError when the run has not ended
 */
export function checkEnded({ runId, status }: NamedRun): void {
  if (!isTerminal(status)) throw new RunNotEndedError(runId, status);
}

/**
 * Checks that a run can be retried.
 *
 * @throws RunNotRetryableError when the run has not failed
 */
export function checkRetryable({ runId, status }: NamedRun): void {
  if (status !== 'failed') throw new RunNotRetryableError(runId, status);
}
