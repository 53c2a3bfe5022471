import { checkOptions } from '../core/check-options.js';
import type { Duration } from '../core/duration.js';
import { InvalidInputError } from '../core/errors/index.js';
import { resultDeadline } from './handle.js';
import { checkStartOptions, START_OPTIONS, type StartOptions } from './start-options.js';

/** Options of `execute`: those of `start`, and a time limit for the wait. */
export type ExecuteOptions = Omit<StartOptions, 'manager'> & {
  /**
   * `'none'` ignores the transaction that the module's `currentTransaction` returns. `execute`
   * cannot join a transaction: the run exists only after the commit, so `execute` would wait for
   * ever. (default: `execute` throws InvalidInputError when `currentTransaction` returns an open
   * transaction)
   */
  manager?: 'none';
  /**
   * Longest time to wait for the result: milliseconds, a duration such as `'5m'`, or the Date at
   * which the wait ends. The run continues after that. To limit the run itself, use `timeout`.
   * (default: no limit)
   */
  resultTimeout?: Duration | Date;
};

const EXECUTE_OPTIONS = [...START_OPTIONS, 'resultTimeout'];

/** Checked options of `execute`. */
export interface CheckedExecute {
  readonly start: StartOptions;
  /** Milliseconds to wait for the result. Undefined when there is no limit. */
  readonly timeoutMs: number | undefined;
}

/**
 * Checks the options of `execute`, and converts `resultTimeout` to milliseconds.
 *
 * @throws InvalidInputError when an option is invalid
 */
export function checkExecuteOptions(options: ExecuteOptions, now: number): CheckedExecute {
  const { resultTimeout, ...rest } = checkOptions(options, 'options', EXECUTE_OPTIONS);
  const start = checkStartOptions(rest);
  const timeoutMs = resultTimeout === undefined ? undefined : resultDeadline(resultTimeout, 'options.resultTimeout', now);
  if (start.manager !== undefined && start.manager !== 'none')
    throw new InvalidInputError('options.manager', 'cannot be used by execute, which would wait for its own commit');
  return { start, timeoutMs };
}
