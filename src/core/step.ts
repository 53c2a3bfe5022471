/**
 * Kind of a recorded operation, such as the body of a step, a wait, or the moment when a
 * cancellation reached the workflow.
 *
 * `saga`: the scope of `ctx.saga` has failed. `compensation`: the body that undoes a step.
 * `compensating` and `compensated`: the moments when the compensations of the whole run began and
 * ended.
 */
export type StepKind =
  | 'step'
  | 'cancel'
  | 'patch'
  | 'start'
  | 'emit'
  | 'saga'
  | 'compensation'
  | 'compensating'
  | 'compensated'
  | Exclude<WaitKind, 'retry'>;

/** Kind of a wait. A `retry` is a failed step that waits for its next attempt. */
export type WaitKind = 'sleep' | 'retry' | 'signal' | 'hook' | 'child' | 'event';

/** Number of bytes that `history_bytes` of a run counts per step, beside its output and error. */
export const STEP_BYTES = 150;

/**
 * A recorded operation of a run: one row of `workflow_steps`. Payloads are JSON text. Times are
 * milliseconds since the epoch by the database's clock.
 */
export interface StepRecord {
  readonly stepKey: string;
  readonly kind: StepKind;
  /** Position in the order in which the workflow receives results. */
  readonly seq: number;
  readonly status: 'completed' | 'failed';
  readonly output: string | null;
  readonly error: string | null;
  readonly attempts: number;
  /** Number of results that the workflow had received when it called the step. */
  readonly calledAfter: number;
  /**
   * True when the workflow called the step after ordinary I/O, which is not recorded. False when
   * the call directly followed a recorded result.
   */
  readonly calledAfterIo: boolean;
  /** Fingerprint of the arguments; null when the arguments cannot be compared. */
  readonly argsHash: number | null;
  readonly startedAt: number;
  readonly finishedAt: number;
  /**
   * Arguments with which the compensation of the step is called, as JSON text. Absent for a step
   * without a compensation.
   */
  readonly compensateArgs?: string;
}

/**
 * An open wait: one row of `workflow_waits`. A `retry` is a failed step that waits for its next
 * attempt. A `grace` is the time that a cancelled run still had for its cleanup when the run was
 * suspended at `openedAt`.
 */
export interface OpenWait {
  readonly stepKey: string;
  readonly kind: WaitKind | 'grace';
  /**
   * Name of the signal or event, token of the hook, or run id of the child that ends the wait.
   */
  readonly name: string | null;
  /**
   * End of the wait in milliseconds since the epoch, by the database's clock; null when only a
   * message ends the wait.
   */
  readonly wakeAt: number | null;
  /** Number of failed attempts of the step. */
  readonly attempts: number;
  /** Time when the workflow called the step, in milliseconds since the epoch. */
  readonly openedAt: number;
  /** Events that may end the wait. Set when a wait for an event opens; not read again. */
  readonly event?: EventSelection;
}

/** Events that a wait accepts. */
export interface EventSelection {
  /** Key of the events; null for every key. */
  readonly key: string | null;
  /** Top-level fields that the payload must have, as JSON text; null for every payload. */
  readonly where: string | null;
  /**
   * Time from which events count: the start of the run (`run-start`), the opening of the wait
   * (`now`), or milliseconds since the epoch.
   */
  readonly since: 'run-start' | 'now' | number;
}

/**
 * Steps and waits of a run that were stored before the current execution of the workflow function.
 */
export interface History {
  /** Recorded steps in the order of `seq`. */
  readonly steps: readonly StepRecord[];
  readonly waits: readonly OpenWait[];
}

export const EMPTY_HISTORY: History = { steps: [], waits: [] };
