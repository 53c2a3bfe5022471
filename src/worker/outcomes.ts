import { failureOf } from '../core/failure.js';
import type { Payloads } from '../core/payloads.js';
import type { OwnedRun } from '../core/run.js';
import type { PassOutcome } from '../engine/ports.js';

/**
 * Keeps a run that continues this one in the same queue, unless it is of another workflow, which
 * may have a queue of its own.
 */
export function inSameQueue(run: OwnedRun, outcome: PassOutcome): PassOutcome {
  if (outcome.status !== 'completed' || outcome.continuedAs?.name !== run.name) return outcome;
  return { ...outcome, continuedAs: { ...outcome.continuedAs, queue: run.queue } };
}

/**
 * Fails a run whose code does not fit its history, for tests: a failure says more there than a run
 * that waits for another deployment.
 */
export function failedByMismatch(run: OwnedRun, mismatch: Error, payloads: Payloads): PassOutcome {
  const { stored: error, plain } = payloads.encodeFailure(mismatch, run.id);
  return { status: 'failed', error, failure: failureOf(plain, () => undefined) };
}
