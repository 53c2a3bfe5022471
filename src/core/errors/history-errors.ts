import { WorkflowError } from './workflow-error.js';

/** Common reasons why a replay of a run differs from the first execution of the run. */
const CAUSES =
  'a step function that writes a variable of run(), Date.now(), Math.random(), fields of `this`, or ordinary I/O. Use the results of steps, ' +
  'ctx.now() and ctx.random() instead';

/**
 * The code of a workflow does not fit the history of a run. Either the code was changed while the
 * run was active, or `run()` is not deterministic. The run is blocked until a deployment whose code
 * fits the history is running; see docs/upgrading.md.
 *
 * @example
 * const page = await client.list({ blocked: true }); // The runs that wait for such a deployment.
 */
export class NonDeterminismError extends WorkflowError {
  static override readonly errorName: string = 'NonDeterminismError';
  readonly code = 'NON_DETERMINISM';

  constructor(
    /** Id of the run. */
    readonly runId: string,
    /** The first step at which code and history differ. */
    readonly stepKey: string,
    /** The difference, in words. */
    readonly detail: string,
  ) {
    super(
      `The code of run "${runId}" does not fit its history at step "${stepKey}": ${detail}. If the workflow was changed, the run continues ` +
        `when a deployment with code that fits is running. Otherwise run() is not deterministic. Common causes: ${CAUSES}. See docs/upgrading.md`,
    );
  }
}

/**
 * The replay check found that `run()` behaves differently when it is executed again. The check is
 * active in development and in tests, and runs after `run()` has ended. The check makes the run
 * fail. In production, a replay after a crash would block such a run or change its result. Make
 * `run()` deterministic; see docs/testing.md.
 *
 * @example
 * // A replay does not execute the step, so `id` stays undefined. Return the id from the step.
 * let id: string | undefined;
 * await ctx.step('create', async () => void (id = await this.orders.create()));
 * return id;
 */
export class ReplayDifferenceError extends WorkflowError {
  static override readonly errorName: string = 'ReplayDifferenceError';
  readonly code = 'REPLAY_DIFFERENCE';

  constructor(
    /** Id of the run. */
    readonly runId: string,
    /** The first step that differs; null when only the end of the run differs. */
    readonly stepKey: string | null,
    detail: string,
  ) {
    const place = stepKey === null ? 'at its end' : `at step "${stepKey}"`;
    super(`A replay of run "${runId}" differs ${place}: ${detail}. Common causes: ${CAUSES}. See docs/testing.md`);
  }
}

/**
 * The database refuses to record a step's result and also its failure, because a trigger or a
 * constraint of the application raises an error. The run is blocked for this reason. `cause` is the
 * database's error. Remove the trigger or the constraint, then call `client.resume`.
 *
 * @example
 * await client.resume(runId, { actor: 'ann' });
 */
export class StepNotRecordedError extends WorkflowError {
  static override readonly errorName: string = 'StepNotRecordedError';
  readonly code = 'STEP_NOT_RECORDED';

  constructor(
    /** Id of the run. */
    readonly runId: string,
    /** Key of the step. */
    readonly stepKey: string,
    options: { cause: Error },
  ) {
    super(`The database refuses to record step "${stepKey}": ${options.cause.message}`, options);
  }
}

/**
 * The database refuses to record how a run continues or ends, because a trigger or a constraint of
 * the application raises an error. The run is blocked for this reason. `cause` is the database's
 * error. Remove the trigger or the constraint, then call `client.resume`.
 *
 * @example
 * await client.resume(runId, { actor: 'ann' });
 */
export class RunNotRecordedError extends WorkflowError {
  static override readonly errorName: string = 'RunNotRecordedError';
  readonly code = 'RUN_NOT_RECORDED';

  constructor(
    /** Id of the run. */
    readonly runId: string,
    options: { cause: Error },
  ) {
    super(`The database refuses to record run "${runId}": ${options.cause.message}`, options);
  }
}

/**
 * The history of a run is too large for this process: loading the history could exhaust the heap
 * and end the process. The run is blocked for this reason, and other runs continue. Start Node with
 * a larger heap, and split long runs with `ctx.continueAsNew`.
 *
 * @example
 * // NODE_OPTIONS=--max-old-space-size=4096, or keep the history of a loop short:
 * if (page % 1_000 === 0) return ctx.continueAsNew({ page });
 */
export class HistoryTooLargeError extends WorkflowError {
  static override readonly errorName: string = 'HistoryTooLargeError';
  readonly code = 'HISTORY_TOO_LARGE';

  constructor(
    /** Id of the run. */
    readonly runId: string,
    /** Size of the run's recorded results, in bytes. */
    readonly bytes: number,
    /**
     * Size of the largest history that this process can load, in bytes: a quarter of the heap
     * limit.
     */
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
