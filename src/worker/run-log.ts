import { RunNotRecordedError, StepNotRecordedError } from '../core/errors/index.js';
import type { LogFields } from '../core/log-fields.js';
import type { OwnedRun } from '../core/run.js';
import type { WarningCode } from '../core/warning-codes.js';
import type { WorkerEvents } from './worker-types.js';

type NamedRun = Pick<OwnedRun, 'id' | 'name'>;

/** Writes the log lines that are about one run. */
export class RunLog {
  constructor(
    private readonly events: Pick<WorkerEvents, 'log'>,
    private readonly deploymentId: string,
  ) {}

  warn(run: NamedRun, code: WarningCode, message: string): void {
    this.events.log('warn', code, `run "${run.id}" (${run.name}): ${message}`, undefined, fieldsOf(run));
  }

  notContinued(run: NamedRun, error: unknown): void {
    this.events.log(
      'warn',
      'run-not-continued',
      `run "${run.id}" (${run.name}): this worker could not continue the run`,
      error,
      fieldsOf(run),
    );
  }

  deleted(runId: string): void {
    const what = `worker: run "${runId}" was deleted while it was executed here, and a new run has its id`;
    this.events.log('warn', 'run-deleted', what, undefined, { runId });
  }

  blocked(run: NamedRun, error: Error): void {
    const here = `this one is "${this.deploymentId}"; if a new build has the same id, set DEPLOYMENT_ID`;
    const isRefused = error instanceof StepNotRecordedError || error instanceof RunNotRecordedError;
    const waits = isRefused ? 'until client.resume() is called' : `and waits for another deployment (${here})`;
    this.events.log('error', 'run-blocked', `run "${run.id}" is blocked ${waits}`, error, fieldsOf(run));
  }

  /**
   * Reports that the database refuses every change of the run's row, even the change that blocks
   * the run.
   */
  unwritable(run: NamedRun, error: Error): void {
    const what = `run "${run.id}" (${run.name}): the database refuses every change, even the one that blocks the run; the worker tries again once a minute`;
    this.events.log('error', 'run-unwritable', what, error, fieldsOf(run));
  }
}

function fieldsOf({ id, name }: NamedRun): LogFields {
  return { workflow: name, runId: id };
}
