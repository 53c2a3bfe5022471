import type { RunStatus } from '../run.js';
import { WorkflowError } from './workflow-error.js';

/** The run ended `failed`. `cause` is what its code threw, as it was stored. */
export class WorkflowFailedError extends WorkflowError {
  static override readonly errorName: string = 'WorkflowFailedError';
  readonly code = 'WORKFLOW_FAILED';

  constructor(
    readonly runId: string,
    cause: unknown,
  ) {
    super(`Run "${runId}" failed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

/**
 * The run was cancelled. Open steps and waits of the run reject with it, and so does `handle.result()` afterwards.
 */
export class WorkflowCancelledError extends WorkflowError {
  static override readonly errorName: string = 'WorkflowCancelledError';
  readonly code = 'WORKFLOW_CANCELLED';

  constructor(
    readonly runId: string,
    /** What the one who cancelled gave as the reason. */
    readonly reason?: string,
  ) {
    super(`Run "${runId}" was cancelled${reason === undefined ? '' : `: ${reason}`}`);
  }
}

/**
 * An operator has ended the run without its code: by `client.terminate`, or `client.bulk.terminate`. The run is `cancelled`, and nothing of it was cleaned up.
 */
export class WorkflowTerminatedError extends WorkflowError {
  static override readonly errorName: string = 'WorkflowTerminatedError';
  readonly code = 'TERMINATED';

  constructor(
    readonly runId: string,
    /** What the one who terminated it gave as the reason. */
    readonly reason?: string,
  ) {
    super(`Run "${runId}" was terminated${reason === undefined ? '' : `: ${reason}`}`);
  }
}

/** The run took longer than its `timeout`. Open steps and waits of the run reject with it, and the run ends `failed`. */
export class WorkflowTimeoutError extends WorkflowError {
  static override readonly errorName: string = 'WorkflowTimeoutError';
  readonly code = 'WORKFLOW_TIMEOUT';

  constructor(readonly runId: string) {
    super(`Run "${runId}" did not end within its timeout`);
  }
}

/** What a message names of what a run waits for. */
const MAX_REASONS = 3;

/** The result did not come within the time that the caller was willing to wait. The run goes on. */
export class ResultTimeoutError extends WorkflowError {
  static override readonly errorName: string = 'ResultTimeoutError';
  readonly code = 'RESULT_TIMEOUT';

  constructor(
    readonly runId: string,
    /** How long the caller waited, in milliseconds. */
    readonly timeoutMs: number,
    /** How the run was then; undefined where that could not be asked for. */
    readonly status?: string,
    /** What the run waited for, in words. */
    readonly waitingFor: readonly string[] = [],
  ) {
    const waits = waitingFor.length === 0 ? '' : `, and waits ${waitingFor.slice(0, MAX_REASONS).join('; ')}`;
    const how = status === undefined ? 'It goes on' : `It is ${status}${waits}`;
    super(`Run "${runId}" did not end within ${timeoutMs} ms. ${how}. Wait again, or look at describe()`);
  }
}

/** No run has that id, or the run that goes on in its place has been deleted. */
export class RunNotFoundError extends WorkflowError {
  static override readonly errorName: string = 'RunNotFoundError';
  readonly code = 'RUN_NOT_FOUND';

  constructor(
    readonly runId: string,
    /** The deleted run that went on in the place of run `runId`; undefined where no run has the id. */
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
 * Too many signals and payloads for hooks wait for the run (about 10,000, or 64 MiB): the one that was sent has not been kept. Send it again once the
 * run has taken some. By HTTP the answer is 429.
 */
export class InboxFullError extends WorkflowError {
  static override readonly errorName: string = 'InboxFullError';
  readonly code = 'INBOX_FULL';

  constructor(readonly runId: string) {
    super(`The inbox of run "${runId}" is full: the run must take what waits there first. Send the message again later`);
  }
}

/** The run was started in a transaction of the caller that has not been committed: nobody else sees it before that. */
export class RunNotCommittedError extends WorkflowError {
  static override readonly errorName: string = 'RunNotCommittedError';
  readonly code = 'RUN_NOT_COMMITTED';

  constructor(readonly runId: string) {
    super(`Run "${runId}" was started in a transaction that is still open: ask for it after the commit`);
  }
}

/**
 * Another transaction came between, and the caller's cannot be committed any more. The same transaction, repeated as a whole, may be expected
 * to succeed.
 */
export class TransactionConflictError extends WorkflowError {
  static override readonly errorName: string = 'TransactionConflictError';
  readonly code = 'TRANSACTION_CONFLICT';

  constructor(
    readonly runIds: readonly string[],
    /** What the database called it: `40001`, `40P01` or `55P03`. */
    readonly sqlState: string,
    why: string,
    options?: { cause?: unknown },
  ) {
    const runs = runIds.slice(0, 3).map((id) => `"${id}"`);
    const what = `${runs.join(', ')}${runIds.length > runs.length ? ` and ${runIds.length - runs.length} more` : ''}`;
    super(`The caller's transaction (${what}) must be repeated: ${why}`, options);
  }
}

/** The id is taken: by a run of another workflow, or by any run when the caller asked for `onConflict: 'reject'`. */
export class RunAlreadyExistsError extends WorkflowError {
  static override readonly errorName: string = 'RunAlreadyExistsError';
  readonly code = 'RUN_ALREADY_EXISTS';

  constructor(
    readonly runId: string,
    /** The name of the workflow that the existing run belongs to. */
    readonly workflowName: string,
  ) {
    super(`Run "${runId}" exists already, of workflow "${workflowName}"`);
  }
}

/** What usually makes a run differ from its replay. */
const CAUSES =
  'a variable of run() that the function of a step writes, Date.now(), Math.random(), fields of `this`, or ordinary I/O. Use what steps return, ctx.now() and ctx.random()';

/**
 * The code of a workflow does not fit the history of a run: it was changed while the run was in flight, or `run` is not deterministic.
 * The run waits for a deployment whose code fits.
 */
export class NonDeterminismError extends WorkflowError {
  static override readonly errorName: string = 'NonDeterminismError';
  readonly code = 'NON_DETERMINISM';

  constructor(
    readonly runId: string,
    /** The step at which code and history part. */
    readonly stepKey: string,
    /** How they differ. */
    readonly detail: string,
  ) {
    super(
      `Run "${runId}" does not fit its history at step "${stepKey}": ${detail}. Either its workflow was changed, and then the run goes on with a deployment ` +
        `that fits; or run() is not deterministic: ${CAUSES}. See docs/upgrading.md`,
    );
  }
}

/** In development and tests: a replay of a run, made when its code had ended, did not do the same. The run fails, where a crash would have blocked it or given it another result. */
export class ReplayDifferenceError extends WorkflowError {
  static override readonly errorName: string = 'ReplayDifferenceError';
  readonly code = 'REPLAY_DIFFERENCE';

  constructor(
    readonly runId: string,
    /** The first step that differs; null when it is the end of the run. */
    readonly stepKey: string | null,
    detail: string,
  ) {
    const place = stepKey === null ? 'at its end' : `at step "${stepKey}"`;
    super(`A replay of run "${runId}" is not the same ${place}: ${detail}. Common causes: ${CAUSES}. See docs/testing.md`);
  }
}

/**
 * The database refuses to record a step, both its result and its failure: a trigger or a constraint of
 * the application raises an error. The run is blocked with this reason. `cause` is the database's error.
 */
export class StepNotRecordedError extends WorkflowError {
  static override readonly errorName: string = 'StepNotRecordedError';
  readonly code = 'STEP_NOT_RECORDED';

  constructor(
    readonly runId: string,
    readonly stepKey: string,
    options: { cause: Error },
  ) {
    super(`The database refuses to record step "${stepKey}": ${options.cause.message}`, options);
  }
}

/**
 * The database refuses to record how a run goes on or ends: a trigger or a constraint of the application
 * raises an error. The run is blocked with this reason. `cause` is the database's error.
 */
export class RunNotRecordedError extends WorkflowError {
  static override readonly errorName: string = 'RunNotRecordedError';
  readonly code = 'RUN_NOT_RECORDED';

  constructor(
    readonly runId: string,
    options: { cause: Error },
  ) {
    super(`The database refuses to record run "${runId}": ${options.cause.message}`, options);
  }
}

/**
 * The history of a run is too large for this process: loading it would take the process down. The
 * run is blocked with this reason, and other runs go on.
 */
export class HistoryTooLargeError extends WorkflowError {
  static override readonly errorName: string = 'HistoryTooLargeError';
  readonly code = 'HISTORY_TOO_LARGE';

  constructor(
    readonly runId: string,
    /** Bytes of results that the run has recorded. */
    readonly bytes: number,
    /** Bytes of history that this process can load: a quarter of its heap limit. */
    readonly limit: number,
  ) {
    super(
      `The history of run "${runId}" has ${mebibytes(bytes)}, and this process can load ${mebibytes(limit)} (a quarter of its heap limit). ` +
        'Start Node with a larger --max-old-space-size, store large results elsewhere, or continue long runs as new',
    );
  }
}

function mebibytes(bytes: number): string {
  return `${(bytes / (1 << 20)).toFixed(1)} MiB`;
}

/** The run cannot be retried: only one that has `failed` can. A copy of any other may be made by `fork`. */
export class RunNotRetryableError extends WorkflowError {
  static override readonly errorName: string = 'RunNotRetryableError';
  readonly code = 'RUN_NOT_RETRYABLE';

  constructor(
    readonly runId: string,
    /** The run's status. */
    readonly status: RunStatus,
  ) {
    super(`Run "${runId}" is ${status}, and only one that has failed can be retried. client.fork() makes a new run of any`);
  }
}

/** The process that executed the run died each time while it ran nothing else: the run is given up. */
export class WorkerLostError extends WorkflowError {
  static override readonly errorName: string = 'WorkerLostError';
  readonly code = 'WORKER_LOST';

  constructor(
    readonly runId: string,
    /** How many workers were lost while the run was the only one that could have done it. */
    readonly losses: number,
  ) {
    super(`Run "${runId}" took down its worker ${losses} times while executed alone, and is given up`);
  }
}

/** A hook's token belongs to another run. */
export class HookConflictError extends WorkflowError {
  static override readonly errorName: string = 'HookConflictError';
  readonly code = 'HOOK_CONFLICT';

  /** The token that was asked for. It is not stored with the error: whoever has it can resume the other run. */
  declare readonly token: string;

  constructor(
    token: string,
    /** The run that has the token. */
    readonly ownerRunId: string,
  ) {
    super(`The hook token is taken by run "${ownerRunId}"`);
    Object.defineProperty(this, 'token', { value: token, enumerable: false, configurable: true });
  }
}

/** No run has a hook of that token. The token is not part of the error: it is a secret. */
export class HookNotFoundError extends WorkflowError {
  static override readonly errorName: string = 'HookNotFoundError';
  readonly code = 'HOOK_NOT_FOUND';

  constructor() {
    super('No run has a hook of that token');
  }
}

/** The reason why calls of a branch of `ctx.race` reject: another branch ended first. */
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

/** The run has ended: it takes no more messages. Also the reason of the AbortSignal of steps that were still under way when their run ended. */
export class RunEndedError extends WorkflowError {
  static override readonly errorName: string = 'RunEndedError';
  readonly code = 'RUN_ENDED';

  constructor(readonly runId: string) {
    super(`Run "${runId}" has ended`);
  }
}
