import { setTimeout } from '../core/timers.js';
import { toMilliseconds, toTimestamp } from '../core/duration.js';
import { ArgumentChangedError, InvalidInputError, NonRetryableError, RetryableError, StepFailedError } from '../core/errors/index.js';
import { isPromise } from '../core/async.js';
import { backoffMs } from '../core/retry-policy.js';
import { findChange } from './argument-changes.js';
import { Attempt } from './attempt.js';
import type { Call, StepSpec } from './call.js';
import type { PassHandle } from './pass-handle.js';
import type { StepPermit } from './step-limits-port.js';
import { whenPermitted } from './step-limits.js';
import { inTransaction, UnstorableOutput } from './transactional-step.js';

/** Milliseconds between two checks that this process still owns its runs. */
const UNSURE_PAUSE_MS = 50;

/**
 * Begins a step. Tries the body until it succeeds or the retry policy allows no more attempts.
 * Attempts in earlier passes and other processes count.
 */
export function beginStep(pass: PassHandle, call: Call, spec: StepSpec): void {
  const wait = pass.recordedWait(call.stepKey);
  call.begin(pass.settings.now(), wait);
  if (!call.mayBegin) return;
  if (!wait || call.isLastAttempt) return attemptWhenReady(pass, call, spec);
  pass.timers.set(call.stepKey, wait.wakeAt ?? 0, () => attemptWhenReady(pass, call, spec));
}

/**
 * Begins the next attempt once all results that the code has received are durable and the worker
 * has a slot. Checks both again after waiting for one of them. A step with a limit also waits for a
 * permit.
 */
function attemptWhenReady(pass: PassHandle, call: Call, spec: StepSpec, permit?: StepPermit): void {
  pass.whenDurable(() => {
    if (pass.isClosed || !call.mayBegin) return permit?.release();
    if (spec.limit !== undefined && !permit?.isValid()) {
      permit?.release();
      return whenPermitted(pass, call, spec.limit, (given) => attemptWhenReady(pass, call, spec, given));
    }
    pass.withSlot(
      () => attempt(pass, call, spec, permit),
      () => attemptWhenReady(pass, call, spec, permit),
    );
  });
}

function attempt(pass: PassHandle, call: Call, spec: StepSpec, permit: StepPermit | undefined): void {
  if (pass.isClosed || !call.mayBegin || call.isAttempting) return permit?.release();
  if (!pass.settings.isSure()) return void setTimeout(() => attemptWhenReady(pass, call, spec, permit), UNSURE_PAUSE_MS);
  let given: readonly unknown[] | undefined;
  try {
    given = spec.given?.fresh();
  } catch (error) {
    permit?.release();
    return giveUp(pass, call, error, call.failures + 1);
  }
  const current = new Attempt(pass, pass.run.id, call.stepKey, call.failures + 1, call.name, spec.compensates);
  current.permit = permit;
  call.isAttempting = true;
  pass.attemptBegan(current);
  const isTransactional = spec.isolation !== undefined;
  current.run(isTransactional ? inTransaction(pass, call, spec, current) : spec.body, given, spec.timeoutMs, {
    succeeded: (value) => {
      call.isAttempting = false;
      // The transaction of a transactional body has already recorded the result.
      if (isTransactional) return pass.attemptEnded(current);
      const changed = given && findChange(pass, call, spec, given);
      if (changed) giveUp(pass, call, changed, call.failures + 1);
      else succeed(pass, call, value);
      pass.attemptEnded(current);
    },
    failed: (error) => {
      call.isAttempting = false;
      // Leaves the attempt unrecorded. The process is closing, and another worker will execute the
      // body again.
      if (pass.settings.isClosing() && !(error instanceof NonRetryableError)) return pass.attemptEnded(current);
      try {
        if (error instanceof UnstorableOutput) giveUp(pass, call, error.cause, call.failures + 1);
        else fail(pass, call, spec, (given && findChange(pass, call, spec, given, error)) ?? error);
      } catch {
        giveUp(pass, call, new Error('what the step threw cannot be read'), call.failures + 1);
      }
      pass.attemptEnded(current);
    },
  });
}

function succeed(pass: PassHandle, call: Call, value: unknown): void {
  const attempts = call.failures + 1;
  try {
    pass.results.settle(call, { output: value === undefined ? null : pass.encode(value, `output of step "${call.stepKey}"`), attempts });
  } catch (error) {
    // Fails the step without another attempt: the body has done its work, and another attempt would
    // not make the result storable.
    giveUp(pass, call, error, attempts);
  }
}

function fail(pass: PassHandle, call: Call, spec: StepSpec, error: unknown): void {
  const attempts = call.failures + 1;
  const isLast = attempts >= spec.retry.maxAttempts || call.isDetached || call.isLastAttempt;
  const pause = isLast ? undefined : retryPause(error, spec, attempts, pass.settings.now());
  const failure = { stepKey: call.stepKey, attempt: attempts, maxAttempts: spec.retry.maxAttempts, error };
  if (typeof pause !== 'number') {
    pass.attemptFailed({ ...failure, error: pause ?? error, nextAttemptAt: undefined });
    return giveUp(pass, call, pause ?? error, attempts);
  }
  call.noteFailure();
  const wakeAt = Math.floor(pass.settings.now()) + pause;
  pass.attemptFailed({ ...failure, nextAttemptAt: wakeAt });
  const event = { kind: 'attempt_failed', stepKey: call.stepKey, attempt: attempts, data: pass.encodeError(error) } as const;
  // Begins the next attempt once the pause has passed and this failure is durable. So a crash
  // repeats one attempt, not all of them.
  let isDurable = false;
  let isPauseOver = false;
  const next = (): void => {
    if (isDurable && isPauseOver) attemptWhenReady(pass, call, spec);
  };
  pass.openWait(call, { stepKey: call.stepKey, kind: 'retry', name: null, wakeAt, attempts, openedAt: call.startedAt }, event, () => {
    isDurable = true;
    next();
  });
  pass.timers.set(call.stepKey, wakeAt, () => {
    isPauseOver = true;
    next();
  });
}

function giveUp(pass: PassHandle, call: Call, error: unknown, attempts: number): void {
  pass.results.settle(call, { error: pass.encodeError(new StepFailedError(call.stepKey, attempts, error)), attempts });
}

/**
 * Returns the milliseconds until the next attempt. When there is no next attempt, returns the error
 * with which the step fails, or undefined when the step fails with `error` itself.
 */
function retryPause(error: unknown, spec: StepSpec, failed: number, now: number): number | InvalidInputError | undefined {
  if (error instanceof NonRetryableError || error instanceof ArgumentChangedError) return undefined;
  try {
    const again: unknown = spec.retry.retryIf ? spec.retry.retryIf(error) : true;
    if (isPromise(again)) return new InvalidInputError('retry.retryIf', 'must answer at once, and returned a promise', { cause: error });
    if (!again) return undefined;
    if (error instanceof RetryableError && error.retryAfter !== undefined) {
      const { retryAfter } = error;
      return retryAfter instanceof Date
        ? Math.max(0, toTimestamp(retryAfter, 'retryAfter') - now)
        : toMilliseconds(retryAfter, 'retryAfter');
    }
  } catch {
    // A retryIf that throws, or an invalid retryAfter, must not hide the error of the step.
    return undefined;
  }
  return backoffMs(spec.retry, failed);
}
