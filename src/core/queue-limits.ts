import { checkOptions, isPlainObject, keysOf } from './check-options.js';
import { toMilliseconds, type ConfiguredDuration } from './duration.js';
import { InvalidInputError } from './errors/input-errors.js';
import { checkText } from './ids.js';

/** Largest number of places, of admissions in a period, or of a burst. */
const MAX_COUNT = 1_000_000;
const SHORTEST_PERIOD = { ms: 10, inWords: '10 ms' };
const LONGEST_PERIOD_MS = 366 * 24 * 3_600_000;

/** Rate limit: how many may begin in any window as long as the period. */
export interface RateLimit {
  /** Largest number that begins within one period, a whole number from 1. */
  limit: number;
  /** Length of the window: milliseconds or a duration, from 10 ms to 366 days. */
  period: ConfiguredDuration;
  /**
   * Largest number that may begin at once after a pause. With 1, the starts are spread evenly, and
   * no window contains more than `limit`. A window may contain `burst - 1` more. (default: 1)
   */
  burst?: number;
}

/** Limits that count the runs or steps of each key apart. */
export interface KeyLimits {
  /** Largest number of places for each key. (default: no limit) */
  concurrency?: number;
  /** Rate limit for each key. (default: no limit) */
  rateLimit?: RateLimit;
}

/** Limits of a queue. They hold over all processes, except `perWorker`. */
export interface QueueOptions {
  /** Largest number of runs of the queue that are executed at the same time. (default: no limit) */
  concurrency?: number;
  /** Largest number of runs of the queue in one process that polls. (default: no limit) */
  perWorker?: number;
  /** Rate limit for the first execution of runs. (default: no limit) */
  rateLimit?: RateLimit;
  /** Limits for the runs of each `queueKey`. Runs without a key are not limited by them. */
  key?: KeyLimits;
  /**
   * Order among keys. `'round-robin'`: keys take turns. `'fifo'`: the order of the starts, whatever
   * the keys. Within a key, and with `'fifo'`, a higher priority comes first. (default:
   * `'round-robin'`)
   */
  fairness?: 'round-robin' | 'fifo';
  /**
   * True when a run keeps its place while it sleeps, or waits for a signal or a child. (default:
   * `false`)
   */
  countSuspended?: boolean;
}

/** Limits of steps that name them by `limit`. They hold over all processes. */
export interface StepLimitOptions {
  /** Largest number of step bodies that are executed at the same time. (default: no limit) */
  concurrency?: number;
  /** Rate limit for attempts of steps. (default: no limit) */
  rateLimit?: RateLimit;
  /** Limits for the runs of each `queueKey`. */
  key?: KeyLimits;
}

/** Checked limits, as the table of queues stores them. */
export interface StoredLimits {
  readonly concurrency: number | null;
  readonly perWorker: number | null;
  readonly keyConcurrency: number | null;
  readonly intervalMs: number | null;
  readonly burst: number;
  readonly keyIntervalMs: number | null;
  readonly keyBurst: number;
  readonly isFifo: boolean;
  readonly countsSuspended: boolean;
  /** True when a run of the queue may have to wait for a place. */
  readonly isLimited: boolean;
}

const RATE_OPTIONS = ['limit', 'period', 'burst'];
const KEY_OPTIONS = ['concurrency', 'rateLimit'];
const STEP_OPTIONS = [...KEY_OPTIONS, 'key'];
const QUEUE_OPTIONS = [...STEP_OPTIONS, 'perWorker', 'fairness', 'countSuspended'];

/**
 * Milliseconds after its slot within which a body must begin. The interval between two slots is so
 * much longer that bodies which begin this late still keep the limit in every window.
 */
function lateness(periodMs: number): number {
  return Math.min(Math.max(periodMs / 100, 5), 60_000);
}

/**
 * Milliseconds after its slot within which a body may begin, for limits that were checked. It is
 * half of what the slots allow: the clocks of two processes may differ a little.
 */
export function latenessOf({ rateLimit, key }: StepLimitOptions): number {
  const periods = [rateLimit, key?.rateLimit].flatMap((rate) => (rate ? [toMilliseconds(rate.period, 'period')] : []));
  return Math.min(...periods.map(lateness)) / 2;
}

/**
 * Checks the limits of a queue.
 *
 * @throws InvalidInputError naming the limit that is not valid
 */
export function checkQueue(given: QueueOptions, argument: string): StoredLimits {
  const options = checkOptions(given, argument, QUEUE_OPTIONS);
  const { perWorker, fairness, countSuspended } = options;
  if (fairness !== undefined && fairness !== 'round-robin' && fairness !== 'fifo')
    throw new InvalidInputError(`${argument}.fairness`, "must be 'round-robin' or 'fifo'");
  if (countSuspended !== undefined && typeof countSuspended !== 'boolean')
    throw new InvalidInputError(`${argument}.countSuspended`, 'must be true or false');
  const limits = checkLimits(options, argument);
  return {
    ...limits,
    perWorker: perWorker === undefined ? null : checkCount(perWorker, `${argument}.perWorker`),
    isFifo: fairness === 'fifo',
    countsSuspended: countSuspended ?? false,
  };
}

/**
 * Checks the limits of steps.
 *
 * @throws InvalidInputError naming the limit that is not valid
 */
export function checkStepLimit(given: StepLimitOptions, argument: string): StoredLimits {
  return checkLimits(checkOptions(given, argument, STEP_OPTIONS), argument);
}

/**
 * Checks an object of limits by name.
 *
 * @throws InvalidInputError naming the limit that is not valid
 */
export function checkByName<Options extends object>(
  given: Readonly<Record<string, Options>> | undefined,
  argument: string,
  check: (options: Options, argument: string) => unknown,
): ReadonlyMap<string, Options> {
  if (given === undefined) return new Map();
  if (!isPlainObject(given)) throw new InvalidInputError(argument, 'must be an object with limits by name');
  return new Map(
    keysOf(given, argument).map((name) => {
      checkText(name, `a name in ${argument}`);
      const options = (given as Record<string, Options>)[name]!;
      check(options, `${argument}.${name}`);
      return [name, structuredClone(options)] as const;
    }),
  );
}

function checkLimits(options: StepLimitOptions, argument: string): StoredLimits {
  const key = options.key === undefined ? {} : checkOptions(options.key, `${argument}.key`, KEY_OPTIONS);
  const rate = checkRate(options.rateLimit, `${argument}.rateLimit`);
  const keyRate = checkRate(key.rateLimit, `${argument}.key.rateLimit`);
  const concurrency = options.concurrency === undefined ? null : checkCount(options.concurrency, `${argument}.concurrency`);
  const keyConcurrency = key.concurrency === undefined ? null : checkCount(key.concurrency, `${argument}.key.concurrency`);
  const intervals = [rate.intervalMs, keyRate.intervalMs];
  return {
    concurrency,
    perWorker: null,
    keyConcurrency,
    intervalMs: rate.intervalMs,
    burst: rate.burst,
    keyIntervalMs: keyRate.intervalMs,
    keyBurst: keyRate.burst,
    isFifo: false,
    countsSuspended: false,
    isLimited: [concurrency, keyConcurrency, ...intervals].some((limit) => limit !== null),
  };
}

function checkRate(given: RateLimit | undefined, argument: string): { intervalMs: number | null; burst: number } {
  if (given === undefined) return { intervalMs: null, burst: 1 };
  const { limit, period, burst } = checkOptions(given, argument, RATE_OPTIONS);
  const count = checkCount(limit, `${argument}.limit`);
  const periodMs = toMilliseconds(period, `${argument}.period`, SHORTEST_PERIOD);
  if (periodMs > LONGEST_PERIOD_MS) throw new InvalidInputError(`${argument}.period`, 'must be at most 366 days');
  return {
    intervalMs: (periodMs + lateness(periodMs)) / count,
    burst: burst === undefined ? 1 : checkCount(burst, `${argument}.burst`),
  };
}

function checkCount(value: unknown, argument: string): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MAX_COUNT) return value;
  throw new InvalidInputError(argument, `must be a whole number from 1 to ${MAX_COUNT.toLocaleString('en')}`);
}

/** Limit of a queue for which a run waits. */
export type QueueLimitName = 'paused' | 'concurrency' | 'key.concurrency' | 'rateLimit' | 'key.rateLimit';
