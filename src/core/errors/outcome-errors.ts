import { WorkflowError } from './workflow-error.js';

/**
 * The run ended as `failed`. `cause` is the stored form of the error that `run()` threw. Once
 * the problem is fixed, `client.retry` resumes the run at the step that failed.
 *
 * @example
 * try {
 *   return await handle.result();
 * } catch (error) {
 *   if (error instanceof WorkflowFailedError) logger.error(`order failed: ${String(error.cause)}`);
 *   throw error;
 * }
 */
export class WorkflowFailedError extends WorkflowError {
  static override readonly errorName: string = 'WorkflowFailedError';
  readonly code = 'WORKFLOW_FAILED';

  constructor(
    /** Id of the run. */
    readonly runId: string,
    cause: unknown,
  ) {
    super(`Run "${runId}" failed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

/**
 * The run was cancelled. Open steps and waits of the run reject with this error. After the run has
 * ended, `handle.result()` rejects with this error too. Catch the error in `run()` to clean up, and
 * throw the error again.
 *
 * @example
 * try {
 *   await ctx.waitForSignal(approved);
 * } catch (error) {
 *   if (error instanceof WorkflowCancelledError) await this.releaseStock(order);
 *   throw error;
 * }
 */
export class WorkflowCancelledError extends WorkflowError {
  static override readonly errorName: string = 'WorkflowCancelledError';
  readonly code = 'WORKFLOW_CANCELLED';

  constructor(
    /** Id of the run. */
    readonly runId: string,
    /** The reason that the caller of `cancel` gave. */
    readonly reason?: string,
  ) {
    super(`Run "${runId}" was cancelled${reason === undefined ? '' : `: ${reason}`}`);
  }
}

/**
 * An operator ended the run by `client.terminate` or `client.bulk.terminate`, without executing the
 * run's code. The run is `cancelled`, and none of its work was cleaned up.
 *
 * @example
 * if (error instanceof WorkflowTerminatedError) await refund(orderId, error.reason);
 */
export class WorkflowTerminatedError extends WorkflowError {
  static override readonly errorName: string = 'WorkflowTerminatedError';
  readonly code = 'TERMINATED';

  constructor(
    /** Id of the run. */
    readonly runId: string,
    /** The reason that the caller of `terminate` gave. */
    readonly reason?: string,
  ) {
    super(`Run "${runId}" was terminated${reason === undefined ? '' : `: ${reason}`}`);
  }
}

/**
 * The run took longer than its `timeout`. Open steps and waits of the run reject with this error,
 * and the run ends as `failed`. Give the workflow, or the start, a longer `timeout` if the run
 * needs more time.
 *
 * @example
 * await client.start(OrderWorkflow, order, { timeout: '30 days' });
 */
export class WorkflowTimeoutError extends WorkflowError {
  static override readonly errorName: string = 'WorkflowTimeoutError';
  readonly code = 'WORKFLOW_TIMEOUT';

  /** @param runId id of the run */
  constructor(readonly runId: string) {
    super(`Run "${runId}" did not end within its timeout`);
  }
}

/**
 * The worker process of the run died several times while it executed only this run, so the run
 * failed. Look for the reason in the logs of the process, such as exhausted memory or a native
 * crash. Then resume the run by `client.retry`.
 *
 * @example
 * const page = await client.list({ errorCode: 'WORKER_LOST' });
 */
export class WorkerLostError extends WorkflowError {
  static override readonly errorName: string = 'WorkerLostError';
  readonly code = 'WORKER_LOST';

  constructor(
    /** Id of the run. */
    readonly runId: string,
    /** Number of workers that died while they executed only this run. */
    readonly losses: number,
  ) {
    super(`Run "${runId}" failed: its worker died ${losses} times while it executed only this run`);
  }
}

/**
 * Another branch of `ctx.race` ended first, so the losing branches are aborted with this error as
 * the reason. Steps and waits of a losing branch reject with this error. The error needs no
 * handling.
 *
 * @example
 * // The sleep rejects with RaceLostError when the signal arrives first.
 * await ctx.race({ paid: () => ctx.waitForSignal(paid), late: () => ctx.sleep('1 day') });
 */
export class RaceLostError extends WorkflowError {
  static override readonly errorName: string = 'RaceLostError';
  readonly code = 'RACE_LOST';

  constructor(
    /** The branch that ended first. */
    readonly winner: string,
  ) {
    super(`Branch "${winner}" of the race ended first`);
  }
}
