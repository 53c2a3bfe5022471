import type { RunStatus } from '../run.js';
import { WorkflowError } from './workflow-error.js';

/** Largest number of reasons for waiting that an error message lists. */
const MAX_REASONS = 3;

/**
 * The run did not end within the time for which the caller waited. The run continues. Wait again,
 * or call `describe()` to see what the run waits for.
 *
 * @example
 * try {
 *   return await handle.result({ timeout: '10s' });
 * } catch (error) {
 *   if (error instanceof ResultTimeoutError) return { status: 'accepted', runId: error.runId };
 *   throw error;
 * }
 */
export class ResultTimeoutError extends WorkflowError {
  static override readonly errorName: string = 'ResultTimeoutError';
  readonly code = 'RESULT_TIMEOUT';

  constructor(
    /** Id of the run. */
    readonly runId: string,
    /** Milliseconds for which the caller waited. */
    readonly timeoutMs: number,
    /** Status of the run at the timeout; undefined when the status could not be read. */
    readonly status?: string,
    /** Reasons why the run waits, in words. */
    readonly waitingFor: readonly string[] = [],
  ) {
    const waits = waitingFor.length === 0 ? '' : `, and waits ${waitingFor.slice(0, MAX_REASONS).join('; ')}`;
    const how = status === undefined ? 'It continues' : `It is ${status}${waits}`;
    super(`Run "${runId}" did not end within ${timeoutMs} ms. ${how}. Wait again, or call describe()`);
  }
}

/**
 * No run has this id, or the run was continued by `ctx.continueAsNew` as another run and that run
 * was deleted. Check the id, and check whether old runs are deleted automatically.
 *
 * @example
 * if (error instanceof RunNotFoundError) throw new NotFoundException(`no order ${error.runId}`);
 */
export class RunNotFoundError extends WorkflowError {
  static override readonly errorName: string = 'RunNotFoundError';
  readonly code = 'RUN_NOT_FOUND';

  constructor(
    /** Id of the run. */
    readonly runId: string,
    /** The deleted run that had replaced run `runId`; undefined when no run has the id. */
    readonly missingRunId?: string,
  ) {
    super(
      missingRunId === undefined
        ? `There is no run "${runId}"`
        : `Run "${runId}" was continued as run "${missingRunId}", which has been deleted`,
    );
  }
}

/**
 * The run was started in a transaction of the caller that is not committed yet, so no other
 * connection sees the run. Use the handle after the commit.
 *
 * @example
 * const handle = await dataSource.transaction((manager) =>
 *   client.start(OrderWorkflow, order, { manager }),
 * );
 * const receipt = await handle.result(); // After the commit.
 */
export class RunNotCommittedError extends WorkflowError {
  static override readonly errorName: string = 'RunNotCommittedError';
  readonly code = 'RUN_NOT_COMMITTED';

  /** @param runId id of the run */
  constructor(readonly runId: string) {
    super(`Run "${runId}" was started in a transaction that is not committed yet. Use the handle after the commit`);
  }
}

/**
 * Another transaction interfered, and the caller's transaction can no longer be committed. Roll the
 * transaction back and repeat the whole transaction. The repeated transaction will usually succeed.
 *
 * @example
 * for (let attempt = 1; ; attempt++) {
 *   try {
 *     return await dataSource.transaction((manager) => placeOrder(manager, order));
 *   } catch (error) {
 *     if (!(error instanceof TransactionConflictError) || attempt === 3) throw error;
 *   }
 * }
 */
export class TransactionConflictError extends WorkflowError {
  static override readonly errorName: string = 'TransactionConflictError';
  readonly code = 'TRANSACTION_CONFLICT';

  constructor(
    /** Ids of the runs that the transaction concerns. */
    readonly runIds: readonly string[],
    /** SQLSTATE of the database's error: `40001`, `40P01` or `55P03`. */
    readonly sqlState: string,
    why: string,
    options?: { cause?: unknown },
  ) {
    const runs = runIds.slice(0, 3).map((id) => `"${id}"`);
    const what = `${runs.join(', ')}${runIds.length > runs.length ? ` and ${runIds.length - runs.length} more` : ''}`;
    super(`The caller's transaction (${what}) must be repeated: ${why}`, options);
  }
}

/**
 * The run id is already taken by a run of another workflow or, with `onConflict: 'reject'`, by any
 * run. Choose another id, or use the existing run.
 *
 * @example
 * if (error instanceof RunAlreadyExistsError) return client.getHandle(OrderWorkflow, error.runId);
 */
export class RunAlreadyExistsError extends WorkflowError {
  static override readonly errorName: string = 'RunAlreadyExistsError';
  readonly code = 'RUN_ALREADY_EXISTS';

  constructor(
    /** Id of the run. */
    readonly runId: string,
    /** The name of the workflow to which the existing run belongs. */
    readonly workflowName: string,
  ) {
    super(`Run "${runId}" already exists and belongs to workflow "${workflowName}"`);
  }
}

/** Parts of the message for failed runs that cannot be retried, by the reason. */
const NOT_RETRYABLE = {
  compensated: 'has undone its steps, so it cannot be retried',
  compensating: 'undoes its steps, so a retry can only continue its compensations, without fromStep',
  batch: 'is a batch, whose members are retried instead: retry them by their ids',
  undone: 'has undone a step that comes before the step from which it would continue',
} as const;

/**
 * The run cannot be retried: it has not failed, or its steps were undone. `client.fork` starts a
 * copy of a run in any status.
 *
 * @example
 * if (error instanceof RunNotRetryableError) await client.fork(error.runId, { fromStep: 'pay' });
 */
export class RunNotRetryableError extends WorkflowError {
  static override readonly errorName: string = 'RunNotRetryableError';
  readonly code = 'RUN_NOT_RETRYABLE';

  constructor(
    /** Id of the run. */
    readonly runId: string,
    /** Status of the run. */
    readonly status: RunStatus,
    /**
     * Reason why a failed run cannot be retried. `compensated`: its steps were undone.
     * `compensating`: its compensations have begun, and the retry named another step. `undone`: a
     * failed `ctx.saga` has undone an earlier step. `batch`: its members are retried instead.
     * Undefined for a run that has not failed.
     */
    readonly reason?: keyof typeof NOT_RETRYABLE,
  ) {
    const why = reason === undefined ? `is ${status}, and only a failed run can be retried` : NOT_RETRYABLE[reason];
    super(`Run "${runId}" ${why}. client.fork() starts a copy of any run`);
  }
}

/**
 * The run has ended and accepts no more messages. When a run ends while one of its steps is still
 * running, the AbortSignal of the step has this error as its reason. The error needs no handling,
 * unless the message was meant for another run.
 *
 * @example
 * await client.signal(runId, approved, { by: 'ann' }).catch((error) => {
 *   if (!(error instanceof RunEndedError)) throw error;
 * });
 */
export class RunEndedError extends WorkflowError {
  static override readonly errorName: string = 'RunEndedError';
  readonly code = 'RUN_ENDED';

  /** @param runId id of the run */
  constructor(readonly runId: string) {
    super(`Run "${runId}" has ended`);
  }
}

/**
 * The run has not ended, and only an ended run can be deleted. End it first, for example with
 * `client.terminate`.
 *
 * @example
 * if (error instanceof RunNotEndedError) await client.terminate(error.runId);
 */
export class RunNotEndedError extends WorkflowError {
  static override readonly errorName: string = 'RunNotEndedError';
  readonly code = 'RUN_NOT_ENDED';

  constructor(
    /** Id of the run. */
    readonly runId: string,
    /** Status of the run. */
    readonly status: RunStatus,
  ) {
    super(`Run "${runId}" is ${status}, and only an ended run can be deleted. client.terminate() ends a run in any status`);
  }
}
