import type { Duration } from '../duration.js';
import { showStepKey } from '../step-key-format.js';
import { textOfThrown } from '../thrown.js';
import { InvalidInputError } from './input-errors.js';
import { WorkflowError } from './workflow-error.js';

/**
 * Error that a step's body may throw when another attempt is pointless. The step then fails at
 * once, whatever its retry policy says.
 *
 * @example throw new NonRetryableError('the card is stolen');
 */
export class NonRetryableError extends WorkflowError {
  static override readonly errorName: string = 'NonRetryableError';
  readonly code = 'NON_RETRYABLE';
}

/**
 * Error that a step's body may throw to choose the time of the next attempt. The failed attempt
 * counts towards `maxAttempts`.
 *
 * @example throw new RetryableError('rate limited', { retryAfter: '30s' });
 */
export class RetryableError extends WorkflowError {
  static override readonly errorName: string = 'RetryableError';
  readonly code = 'RETRYABLE';
  /**
   * Time until the next attempt: milliseconds, a duration such as `'5m'`, or the Date of the next
   * attempt. (default: the pause of the retry policy)
   */
  readonly retryAfter: Duration | Date | undefined;

  constructor(message: string, options: { retryAfter?: Duration | Date; cause?: unknown } = {}) {
    super(message, options);
    this.retryAfter = options.retryAfter;
  }
}

/**
 * An argument of a step was changed while the step was executed. The argument cannot be copied, so
 * the step and `run()` share it. A replay does not execute the body of the step, so `run()` would
 * continue without the change. Arguments are checked in development only. Return new values from
 * the step instead.
 *
 * @example
 * @Step()
 * async price(order: OrderEntity): Promise<number> {
 *   return this.prices.of(order); // Not: order.total = await this.prices.of(order).
 * }
 */
export class ArgumentChangedError extends WorkflowError {
  static override readonly errorName: string = 'ArgumentChangedError';
  readonly code = 'ARGUMENT_CHANGED';

  constructor(
    /** Key of the step. */
    readonly stepKey: string,
    /** Position of the argument, from 0. */
    readonly argument: number,
    /** The name of the argument's class. */
    readonly className: string | undefined,
    cause?: unknown,
  ) {
    super(
      `${describeChange(stepKey, argument, className)}. A replay does not execute the body, so run() would continue without the change. ` +
        'Return new values from the step, and pass copies to libraries that change their arguments',
      { cause },
    );
  }

  /** The part of the message that describes the change, without the advice. */
  get what(): string {
    return describeChange(this.stepKey, this.argument, this.className);
  }
}

function describeChange(stepKey: string, argument: number, className: string | undefined): string {
  return `Argument ${argument + 1}${className === undefined ? '' : ` (${className})`} of step "${showStepKey(stepKey)}" was changed while the step was executed`;
}

/**
 * A step failed for good: its attempts are used up, or its body threw a `NonRetryableError`.
 * `cause` has the name, message, stack and cause of the original error. Catch the error in `run()`
 * to continue without the step.
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
    /** Key of the step. */
    readonly stepKey: string,
    /** Number of attempts that were made. */
    readonly attempts: number,
    cause: unknown,
  ) {
    super(
      `Step "${showStepKey(stepKey)}" failed after ${attempts} attempt${attempts === 1 ? '' : 's'}: ${textOfThrown(() => (cause instanceof Error ? cause.message : cause))}`,
      { cause },
    );
  }

  /**
   * Returns true for a StepFailedError whose cause is an error of `errorClass`. A stored error
   * loses its class, so the stored name of the error is compared with the name of `errorClass`.
   *
   * @param error the error that was caught
   * @param errorClass the class of the error that the step's body threw
   * @throws InvalidInputError when `errorClass` is not a class
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

/**
 * An operator set the result of a step with `client.resolveStep` while the body of the step was
 * running. The step's AbortSignal has this error as its reason. The result of the body is ignored.
 *
 * @example
 * await fetch(url, { signal: currentStep().abortSignal }); // Rejects with this error.
 */
export class StepResolvedError extends WorkflowError {
  static override readonly errorName: string = 'StepResolvedError';
  readonly code = 'STEP_RESOLVED';

  /** @param stepKey key of the step */
  constructor(readonly stepKey: string) {
    super(`An operator set the result of step "${showStepKey(stepKey)}"`);
  }
}

/**
 * An attempt of a step took longer than the step's `timeout`. The step is retried as after any
 * other error. Give the step a longer `timeout` if its work needs more time.
 *
 * @example
 * await ctx.step('charge', { timeout: '2m' }, () => this.payments.charge(order));
 */
export class StepTimeoutError extends WorkflowError {
  static override readonly errorName: string = 'StepTimeoutError';
  readonly code = 'STEP_TIMEOUT';

  constructor(
    /** Key of the step. */
    readonly stepKey: string,
    /** The limit that was exceeded, in milliseconds. */
    readonly timeoutMs: number,
  ) {
    super(`Step "${showStepKey(stepKey)}" took longer than ${timeoutMs} ms`);
  }
}

/**
 * A durable operation was called inside the body of a step, where the operation cannot be recorded.
 * Call the operation from `run()`, or make it a plain method call.
 *
 * @example
 * const order = await ctx.step('load', () => this.orders.load(id));
 * await ctx.step('charge', () => this.payments.charge(order)); // Not inside the step `load`.
 */
export class NestedStepError extends WorkflowError {
  static override readonly errorName: string = 'NestedStepError';
  readonly code = 'NESTED_STEP';

  constructor(
    /** Key of the step whose body made the call. */
    readonly outerStepKey: string,
    /** Name of the operation that was called. */
    readonly innerStep: string,
  ) {
    super(
      `"${innerStep}" was called inside step "${outerStepKey}". A step's body is recorded as a whole: call "${innerStep}" from run(), ` +
        'or make it a plain method call',
    );
  }
}

/**
 * A compensation has failed for good, so the run is `failed` and some of its steps were not undone.
 * `cause` is the error that made the run or the saga fail. Once the problem is fixed,
 * `client.retry` continues with the failed compensations, and does not repeat completed ones.
 *
 * @example
 * const page = await client.list({ errorCode: 'COMPENSATION_FAILED' });
 */
export class CompensationFailedError extends WorkflowError {
  static override readonly errorName: string = 'CompensationFailedError';
  readonly code = 'COMPENSATION_FAILED';
  /** Errors of the failed compensations, each a StepFailedError. */
  readonly errors!: readonly unknown[];

  constructor(
    /** Id of the run. */
    readonly runId: string,
    cause: unknown,
    errors: readonly unknown[],
  ) {
    const count = errors.length === 1 ? '1 compensation has' : `${errors.length} compensations have`;
    const message = (thrown: unknown): string => textOfThrown(() => (thrown instanceof Error ? thrown.message : thrown));
    super(`${message(cause)}; ${count} failed: ${errors.map(message).join('; ')}`, { cause });
    // Hidden, as in an AggregateError. The stored form keeps hidden errors as a list of their own.
    Object.defineProperty(this, 'errors', { value: errors, enumerable: false, writable: true, configurable: true });
  }
}

/**
 * A step or a wait was called in a `ctx.saga` that has failed. The steps of the saga are being
 * undone, so nothing more may begin in it. The error needs no handling.
 *
 * @example
 * await ctx.saga(async () => {
 *   // When one branch fails, calls that the other makes later reject with SagaEndedError.
 *   await Promise.all([this.bookFlight(trip), this.bookHotelAndTaxi(trip)]);
 * });
 */
export class SagaEndedError extends WorkflowError {
  static override readonly errorName: string = 'SagaEndedError';
  readonly code = 'SAGA_ENDED';

  constructor(
    /** Name of the step or wait. */
    readonly step: string,
    cause: unknown,
  ) {
    super(`"${step}" was called in a saga that has failed, and does not begin`, { cause });
  }
}
