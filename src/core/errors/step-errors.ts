import type { Duration } from '../duration.js';
import { showStepKey } from '../step-key-text.js';
import { InvalidInputError } from './input-errors.js';
import { WorkflowError } from './workflow-error.js';

/**
 * Thrown by a step to say that trying again is pointless: the step fails at once, whatever its retry policy.
 *
 * @example throw new NonRetryableError('the card is stolen');
 */
export class NonRetryableError extends WorkflowError {
  static override readonly errorName: string = 'NonRetryableError';
  readonly code = 'NON_RETRYABLE';
}

/**
 * Thrown by a step to choose when it is tried again. It counts as an attempt.
 *
 * @example throw new RetryableError('rate limited', { retryAfter: '30s' });
 */
export class RetryableError extends WorkflowError {
  static override readonly errorName: string = 'RetryableError';
  readonly code = 'RETRYABLE';
  /** How long to wait, as a duration (`'30s'`, milliseconds) or until a Date; the policy's backoff when absent. */
  readonly retryAfter: Duration | Date | undefined;

  constructor(message: string, options: { retryAfter?: Duration | Date; cause?: unknown } = {}) {
    super(message, options);
    this.retryAfter = options.retryAfter;
  }
}

/**
 * In development: an argument of a step that cannot be copied was changed while the step was executed. Replays do not execute the body, so `run` would
 * go on without the change.
 */
export class ArgumentChangedError extends WorkflowError {
  static override readonly errorName: string = 'ArgumentChangedError';
  readonly code = 'ARGUMENT_CHANGED';

  constructor(
    readonly stepKey: string,
    /** The place of the argument, from 0. */
    readonly argument: number,
    /** The name of the argument's class. */
    readonly className: string | undefined,
    cause?: unknown,
  ) {
    super(
      `${describeChange(stepKey, argument, className)}. A replay does not execute the body and run() would go on without the change: ` +
        'return what the step makes, and give the libraries that it calls a copy',
      { cause },
    );
  }

  /** The change alone, without what to do. */
  get what(): string {
    return describeChange(this.stepKey, this.argument, this.className);
  }
}

function describeChange(stepKey: string, argument: number, className: string | undefined): string {
  return `Argument ${argument + 1}${className === undefined ? '' : ` (${className})`} of step "${showStepKey(stepKey)}" was changed while the step was executed`;
}

/**
 * A step failed for good: its attempts are used up, or it said so itself. `cause` has the original's name, message,
 * stack and own cause. Catch it in `run` to go on without the step.
 *
 * @example
 * try { await this.charge(order); } catch (error) {
 *   if (StepFailedError.is(error, CardDeclined)) return this.askForAnotherCard(order);
 *   throw error;
 * }
 */
export class StepFailedError extends WorkflowError {
  static override readonly errorName: string = 'StepFailedError';
  readonly code = 'STEP_FAILED';

  constructor(
    readonly stepKey: string,
    /** How many times the body was tried. */
    readonly attempts: number,
    cause: unknown,
  ) {
    super(`Step "${showStepKey(stepKey)}" failed after ${attempts} attempt${attempts === 1 ? '' : 's'}: ${messageOf(cause)}`, { cause });
  }

  /**
   * Returns true for a StepFailedError that an error of `errorClass` caused. Stored errors come back without their class,
   * so the name decides: the original's own name, or that of its constructor.
   *
   * @param error what was caught
   * @param errorClass the class of the error that the step's body threw
   * @throws InvalidInputError where `errorClass` is not a class
   * @example if (StepFailedError.is(error, CardDeclined)) return 'declined';
   */
  static is(error: unknown, errorClass: abstract new (...args: never[]) => Error): error is StepFailedError {
    if (typeof errorClass !== 'function') throw new InvalidInputError('errorClass', 'must be a class of errors');
    if (!(error instanceof StepFailedError)) return false;
    const cause = error.cause;
    if (cause instanceof errorClass) return true;
    const wanted = (errorClass as { errorName?: string }).errorName ?? errorClass.name;
    const name = typeof cause === 'object' && cause !== null ? (cause as Error).name : undefined;
    return name === wanted;
  }
}

/** The reason of the AbortSignal of a body whose step was given its result by `client.resolveStep`. */
export class StepResolvedError extends WorkflowError {
  static override readonly errorName: string = 'StepResolvedError';
  readonly code = 'STEP_RESOLVED';

  constructor(readonly stepKey: string) {
    super(`Step "${stepKey}" was given its result by an operator`);
  }
}

/** One attempt of a step took longer than its `timeout`. Retried like any other error. */
export class StepTimeoutError extends WorkflowError {
  static override readonly errorName: string = 'StepTimeoutError';
  readonly code = 'STEP_TIMEOUT';

  constructor(
    readonly stepKey: string,
    /** The limit that was exceeded, in milliseconds. */
    readonly timeoutMs: number,
  ) {
    super(`Step "${showStepKey(stepKey)}" took longer than ${timeoutMs} ms`);
  }
}

/** A durable operation was called inside a step's body, where it cannot be recorded. */
export class NestedStepError extends WorkflowError {
  static override readonly errorName: string = 'NestedStepError';
  readonly code = 'NESTED_STEP';

  constructor(
    readonly outerStepKey: string,
    readonly innerStep: string,
  ) {
    super(
      `"${innerStep}" was called inside step "${outerStepKey}". A step's body is recorded as a whole: call "${innerStep}" from run(), ` +
        'or make it a plain method call.',
    );
  }
}

/** Whatever was thrown: reading it must not throw in turn. */
function messageOf(value: unknown): string {
  try {
    return String(value instanceof Error ? value.message : value);
  } catch {
    return 'what was thrown cannot be read';
  }
}
