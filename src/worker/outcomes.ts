import { failureOf } from '../core/failure.js';
import type { Payloads } from '../core/payloads.js';
import type { OwnedRun } from '../core/run.js';
import type { PassOutcomeName } from '../core/tracing.js';
import type { PassOutcome } from '../engine/ports.js';

/**
 * Puts the run that `continueAsNew` starts into the queue of this run, if both runs have the same
 * workflow. The run has the key of this run unless its workflow computes a key. Another
 * workflow may have a queue of its own.
 */
export function inSameQueue(run: OwnedRun, outcome: PassOutcome): PassOutcome {
  if (outcome.status !== 'completed' || outcome.continuedAs?.name !== run.name) return outcome;
  return {
    ...outcome,
    continuedAs: { ...outcome.continuedAs, queue: run.queue, queueKey: outcome.continuedAs.queueKey ?? run.queueKey ?? null },
  };
}

/**
 * Returns the outcome of a run that fails because its code does not match its history. Used in
 * tests: a failed run shows the mismatch, but a blocked run would only wait for another deployment.
 */
export function failedByMismatch(run: OwnedRun, mismatch: Error, payloads: Payloads): PassOutcome {
  const { stored: error, plain } = payloads.encodeFailure(mismatch, run.id);
  return { status: 'failed', error, failure: failureOf(plain, () => undefined) };
}

/**
 * Returns how the span of a pass shows the end of the run, with the code of a failure. `outcome` is
 * undefined when this process has lost the run.
 */
export function spanOutcomeOf(outcome: PassOutcome | undefined): [outcome: PassOutcomeName, errorType?: string] {
  if (!outcome) return ['abandoned'];
  if (outcome.status === 'failed') return ['failed', outcome.failure.code];
  return [outcome.status === 'completed' && outcome.continuedAs ? 'continued' : outcome.status];
}
