import { checkOptions } from './check-options.js';
import { toMilliseconds, type Duration } from './duration.js';
import { InvalidInputError } from './errors/input-errors.js';

/**
 * Retry policy of a step: the number of attempts and the pauses between them. A step takes each
 * value that is absent from its workflow's policy, or else from the module's `defaults.retry`, or
 * else from the default that is named here.
 */
export interface RetryOptions {
  /** Largest number of attempts, including the first, from 1 to 1,000,000. (default: 3) */
  maxAttempts?: number;
  /**
   * Pause after the first failed attempt: milliseconds, or a duration such as `'5m'`. (default:
   * `'1s'`)
   */
  initialInterval?: Duration;
  /** Factor by which each pause is longer than the previous one, from 1 to 1,000. (default: 2) */
  backoffCoefficient?: number;
  /** Longest pause: milliseconds, or a duration such as `'5m'`. (default: `'1m'`) */
  maxInterval?: Duration;
  /**
   * True to shorten each pause by a random part of up to half, so that steps that failed together
   * do not retry together. (default: `true`)
   */
  jitter?: boolean;
  /**
   * Called with the error of a failed attempt. Returns false when the step must not be retried.
   * (default: every error is retried)
   */
  retryIf?: (error: unknown) => boolean;
}

/** A retry policy with all values filled in. Times are milliseconds. */
export interface RetryPolicy {
  readonly maxAttempts: number;
  readonly initialIntervalMs: number;
  readonly backoffCoefficient: number;
  readonly maxIntervalMs: number;
  readonly jitter: boolean;
  readonly retryIf: ((error: unknown) => boolean) | undefined;
}

export const DEFAULT_RETRY_POLICY: RetryPolicy = {
  maxAttempts: 3,
  initialIntervalMs: 1_000,
  backoffCoefficient: 2,
  maxIntervalMs: 60_000,
  jitter: true,
  retryIf: undefined,
};

const OPTIONS = ['maxAttempts', 'initialInterval', 'backoffCoefficient', 'maxInterval', 'jitter', 'retryIf'];

/**
 * Merges retry options into a policy: a value in `options` replaces the value in `base`.
 *
 * @param argument the name of the options in errors
 * @throws InvalidInputError when a value is not valid
 */
export function toRetryPolicy(options: RetryOptions | undefined, base: RetryPolicy, argument: string): RetryPolicy {
  if (options === undefined) return base;
  const { maxAttempts, initialInterval, backoffCoefficient, maxInterval, jitter, retryIf } = checkOptions(options, argument, OPTIONS);
  if (maxAttempts !== undefined && !(Number.isInteger(maxAttempts) && maxAttempts >= 1 && maxAttempts <= 1_000_000)) {
    throw new InvalidInputError(`${argument}.maxAttempts`, 'must be a whole number from 1 to 1,000,000');
  }
  if (
    backoffCoefficient !== undefined &&
    !(Number.isFinite(backoffCoefficient) && backoffCoefficient >= 1 && backoffCoefficient <= 1_000)
  ) {
    throw new InvalidInputError(`${argument}.backoffCoefficient`, 'must be a number from 1 to 1,000');
  }
  if (jitter !== undefined && typeof jitter !== 'boolean') throw new InvalidInputError(`${argument}.jitter`, 'must be a boolean');
  if (retryIf !== undefined && typeof retryIf !== 'function') throw new InvalidInputError(`${argument}.retryIf`, 'must be a function');
  return {
    maxAttempts: maxAttempts ?? base.maxAttempts,
    initialIntervalMs:
      initialInterval === undefined ? base.initialIntervalMs : toMilliseconds(initialInterval, `${argument}.initialInterval`),
    backoffCoefficient: backoffCoefficient ?? base.backoffCoefficient,
    maxIntervalMs: maxInterval === undefined ? base.maxIntervalMs : toMilliseconds(maxInterval, `${argument}.maxInterval`),
    jitter: jitter ?? base.jitter,
    retryIf: retryIf ?? base.retryIf,
  };
}

/**
 * Returns the milliseconds between a failed attempt and the next one. `failed` is the number of the
 * failed attempt, counted from 1.
 */
export function backoffMs(policy: RetryPolicy, failed: number, random: () => number = Math.random): number {
  const full = Math.min(policy.maxIntervalMs, policy.initialIntervalMs * policy.backoffCoefficient ** (failed - 1));
  return Math.round(policy.jitter ? full * (1 - random() / 2) : full);
}
