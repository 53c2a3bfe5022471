import { checkOptions } from '../../core/check-options.js';
import { toMilliseconds, type ConfiguredDuration } from '../../core/duration.js';
import { InvalidInputError } from '../../core/errors/index.js';

/** Conditions under which a process counts as ready. */
export interface HealthThresholds {
  /**
   * Longest time that the database may take to answer a short query, in milliseconds or as a
   * duration. (default: `'5s'`)
   */
  maxDatabaseLatency?: ConfiguredDuration;
  /**
   * `'running'`: the worker of this process must claim runs, or no worker has been started here.
   * `'ignored'`: the state of the worker does not matter. (default: `'running'`)
   */
  worker?: 'running' | 'ignored';
  /**
   * Longest time that a due run may wait for a worker, in milliseconds or as a duration. The value
   * is about the whole database: when the queues are long, all processes exceed the limit at the
   * same time. (default: no limit)
   */
  maxOldestDueAge?: ConfiguredDuration;
  /**
   * Maximum number of due runs that no living process executes. The value is about the whole
   * database. Counting stops at 1,000 for each queue, workflow and version. (default: no limit)
   */
  maxUnregistered?: number;
}

/** Checked thresholds; durations in milliseconds. */
export interface CheckedThresholds {
  readonly maxDatabaseLatencyMs: number;
  readonly worker: 'running' | 'ignored';
  readonly maxOldestDueAgeMs: number;
  readonly maxUnregistered: number;
}

const DEFAULT_LATENCY_MS = 5_000;

/**
 * Checks thresholds and applies the defaults.
 *
 * @throws InvalidInputError naming the threshold that is invalid
 */
export function checkThresholds(thresholds: HealthThresholds): CheckedThresholds {
  const known = ['maxDatabaseLatency', 'worker', 'maxOldestDueAge', 'maxUnregistered'];
  const { maxDatabaseLatency, worker = 'running', maxOldestDueAge, maxUnregistered } = checkOptions(thresholds, 'thresholds', known);
  if (worker !== 'running' && worker !== 'ignored') throw new InvalidInputError('thresholds.worker', "must be 'running' or 'ignored'");
  if (maxUnregistered !== undefined && !(Number.isInteger(maxUnregistered) && maxUnregistered >= 0))
    throw new InvalidInputError('thresholds.maxUnregistered', 'must be a whole number from 0');
  const limit = (value: ConfiguredDuration | undefined, argument: string, none: number): number =>
    value === undefined ? none : toMilliseconds(value, argument);
  return {
    maxDatabaseLatencyMs: limit(maxDatabaseLatency, 'thresholds.maxDatabaseLatency', DEFAULT_LATENCY_MS),
    worker,
    maxOldestDueAgeMs: limit(maxOldestDueAge, 'thresholds.maxOldestDueAge', Number.POSITIVE_INFINITY),
    maxUnregistered: maxUnregistered ?? Number.POSITIVE_INFINITY,
  };
}
