import { checkOptions } from '../core/check-options.js';
import { toMilliseconds, type Duration } from '../core/duration.js';
import { InvalidInputError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import type { SharedStart } from '../core/run.js';

/** Option `debounce` of a start: the last of several calls counts. */
export interface DebounceOptions {
  /** Calls of the same workflow with equal keys share one run. At most 255 characters. */
  key: string;
  /**
   * Time from the last call to the start of the run, from 10 ms to 366 days: milliseconds, or a
   * duration such as `'5s'`.
   */
  period: Duration;
  /**
   * Longest time from the first call to the start of the run, at least `period` and at most 366
   * days. (default: no limit, so that calls without a pause can delay the run for ever)
   */
  maxWait?: Duration;
}

/** Option `throttle` of a start: the first of several calls counts. */
export interface ThrottleOptions {
  /** Calls of the same workflow with equal keys share one run. At most 255 characters. */
  key: string;
  /**
   * Time from the call that starts a run to the next call that starts one, from 10 ms to 366 days:
   * milliseconds, or a duration such as `'1m'`.
   */
  period: Duration;
}

/** Options of a start that decide which run counts for it. */
export interface SharedStartOptions {
  /**
   * Starts one run `period` after the last call with this key, with the input of the last call. The
   * handle of each call names this run. A call after the run has become due begins a new run.
   * Cannot be combined with `throttle`, `delay`, `startAt` or `onConflict: 'reject'`. See
   * docs/starts.md. (default: each call starts a run of its own)
   */
  debounce?: DebounceOptions;
  /**
   * Starts at most one run in `period` with this key. The handles of the other calls name this run,
   * and their `created` is false. Cannot be combined with `debounce` or `onConflict: 'reject'`. See
   * docs/starts.md. (default: each call starts a run of its own)
   */
  throttle?: ThrottleOptions;
}

const SHORTEST_PERIOD = { ms: 10, inWords: '10 ms' };
const LONGEST_PERIOD_MS = 366 * 86_400_000;

interface Combined extends SharedStartOptions {
  readonly delay?: unknown;
  readonly startAt?: unknown;
  readonly onConflict?: unknown;
}

/**
 * Checks `debounce` and `throttle`. Returns undefined when a start has neither.
 *
 * @throws InvalidInputError
 */
export function checkSharedStart(options: Combined): SharedStart | undefined {
  const { debounce, throttle, onConflict } = options;
  if (debounce === undefined && throttle === undefined) return undefined;
  const argument = debounce === undefined ? 'options.throttle' : 'options.debounce';
  if (debounce !== undefined && throttle !== undefined)
    throw new InvalidInputError('options.throttle', 'cannot be given together with options.debounce');
  if (onConflict === 'reject') throw new InvalidInputError('options.onConflict', `cannot be 'reject' together with ${argument}`);
  if (throttle !== undefined) {
    const { key, period } = checkOptions(throttle, argument, ['key', 'period']);
    return { kind: 'throttle', key: checkText(key, `${argument}.key`), periodMs: toPeriod(period, `${argument}.period`), maxWaitMs: null };
  }
  for (const name of ['delay', 'startAt'] as const)
    if (options[name] !== undefined) throw new InvalidInputError(`options.${name}`, 'cannot be given together with options.debounce');
  const { key, period, maxWait } = checkOptions(debounce!, argument, ['key', 'period', 'maxWait']);
  const text = checkText(key, `${argument}.key`);
  const periodMs = toPeriod(period, `${argument}.period`);
  const maxWaitMs = maxWait === undefined ? null : toPeriod(maxWait, `${argument}.maxWait`);
  if (maxWaitMs !== null && maxWaitMs < periodMs)
    throw new InvalidInputError(`${argument}.maxWait`, `must be at least ${argument}.period, which is ${periodMs} ms, not ${maxWaitMs} ms`);
  return { kind: 'debounce', key: text, periodMs, maxWaitMs };
}

function toPeriod(value: Duration, argument: string): number {
  const ms = toMilliseconds(value, argument, SHORTEST_PERIOD);
  if (ms > LONGEST_PERIOD_MS) throw new InvalidInputError(argument, 'must be at most 366 days');
  return ms;
}
