import { assertOutsideRun } from '../assert-outside-run.js';
import type { ClientDependencies } from '../dependencies.js';
import { RunQueries } from '../queries/run-queries.js';
import type { AuditOptions, CancelOptions, RetryRunOptions, StepResult } from './control-options.js';
import type { Control } from './control.js';

/** Queries and controls runs: the methods of `WorkflowClient` that change one run by its id. */
export class RunControl extends RunQueries {
  readonly #control: Control;

  /** @internal */
  constructor(dependencies: ClientDependencies, control: Control) {
    super(dependencies);
    this.#control = control;
  }

  /**
   * Asks a run to stop. Its open steps and waits reject with WorkflowCancelledError. For 30 seconds
   * its `catch` and `finally` blocks may still execute steps. The run then ends `cancelled`, even
   * if its code catches the error.
   *
   * A run that was never executed is cancelled immediately. An ended run stays as it is. The
   * promise resolves when the request is durable. In a caller's transaction, the request takes
   * effect when that transaction commits.
   *
   * @throws InvalidInputError, RunNotFoundError
   */
  async cancel(runId: string, options: CancelOptions = {}): Promise<void> {
    assertOutsideRun('cancel');
    await this.#control.cancel(runId, options);
  }

  /**
   * Ends a run immediately without executing its code. Meant for a run that is blocked, that hangs,
   * or that no process executes. No `finally` block and no compensation is executed.
   *
   * The run ends `cancelled`, and its result is WorkflowTerminatedError (code `TERMINATED`). A
   * parent that waits for the run gets the same error. Waits and hooks of the run are closed. A
   * step body that is executing continues to its end, but its result is not recorded. Child runs
   * continue.
   *
   * @param options.actor who ends the run, for its history (default: none)
   * @param options.reason why the run is ended, for its history (default: none)
   * @throws InvalidInputError, RunNotFoundError, RunEndedError
   * @example
   * await client.terminate('order-7', { actor: 'ann', reason: 'version 1 is gone for good' });
   */
  async terminate(runId: string, options: AuditOptions = {}): Promise<void> {
    assertOutsideRun('terminate');
    await this.#control.terminate(runId, options);
  }

  /**
   * Deletes an ended run with all its rows, its chain (`ctx.continueAsNew`) and its ended children:
   * all of them or none. Children that have not ended continue. The id is free afterwards. A line
   * in the application's log, with actor and reason, is the only trace. See docs/operations.md.
   *
   * @throws InvalidInputError, RunNotFoundError, RunNotEndedError
   * @example
   * await client.delete('order-7', { actor: 'ann', reason: 'test order' });
   */
  async delete(runId: string, options: AuditOptions = {}): Promise<void> {
    assertOutsideRun('delete');
    await this.#control.delete(runId, options);
  }

  /**
   * Pauses a run until it is resumed. No new step starts. Step bodies that are executing finish,
   * and their results are recorded. If these results end the run, it is not paused.
   *
   * Messages to a paused run are kept. Timers and deadlines that pass take effect when the run is
   * resumed. A run that is being cancelled or is already paused stays as it is. The promise
   * resolves when the request is durable.
   *
   * @throws InvalidInputError, RunNotFoundError, RunEndedError
   * @example
   * await client.pause(runId, { actor: 'ann', reason: 'the bank is closed' });
   */
  async pause(runId: string, options: AuditOptions = {}): Promise<void> {
    assertOutsideRun('pause');
    await this.#control.pause(runId, options);
  }

  /**
   * Resumes a paused run where it stopped, or withdraws a pause request that has not taken effect.
   * A blocked run becomes due again, even for the deployments that blocked it, so remove the cause
   * first. Every other run that has not ended stays as it is.
   *
   * @throws InvalidInputError, RunNotFoundError, RunEndedError
   * @example
   * await client.resume(runId, { actor: 'ann', reason: 'the trigger has been dropped' });
   */
  async resume(runId: string, options: AuditOptions = {}): Promise<void> {
    assertOutsideRun('resume');
    await this.#control.resume(runId, options);
  }

  /**
   * Retries a failed run. The same run continues in its next generation. The run executes the
   * failed step again with all its attempts, and all steps recorded after this step. A run that
   * failed outside a step continues after its last recorded step. The removed steps stay in the
   * run's history. See docs/operations.md.
   *
   * @param options.fromStep the key of another recorded step to start from (default: the step that
   *   made the run fail)
   * @throws InvalidInputError, RunNotFoundError, RunNotRetryableError
   * @example
   * await client.retry(runId, { actor: 'ann', reason: 'the card has been replaced' });
   */
  async retry(runId: string, options: RetryRunOptions = {}): Promise<void> {
    assertOutsideRun('retry');
    await this.#control.retry(runId, options);
  }

  /**
   * Sets the result of a step, instead of the result of its body. The step may be waiting for its
   * next attempt, or executing (its `abortSignal` then aborts). The step may also be a wait. A step
   * that the run has not called yet gets the result when it is called. If the run has failed, it is
   * retried from this step, as by `retry`.
   *
   * @param result `{ output }`, or `{ error }` with which the step then fails
   * @throws RunNotFoundError, RunEndedError
   * @throws InvalidInputError when the step already has its result, or when the run has failed and
   *   has not recorded the step
   * @throws SerializationError, PayloadTooLargeError when the result cannot be stored
   * @example
   * await client.resolveStep(runId, 'charge', { output: { id: 'ch_1' } }, { reason: 'by hand' });
   */
  async resolveStep(runId: string, stepKey: string, result: StepResult, options: AuditOptions = {}): Promise<void> {
    assertOutsideRun('resolveStep');
    await this.#control.resolveStep(runId, stepKey, result, options);
  }
}
