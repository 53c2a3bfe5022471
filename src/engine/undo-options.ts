import { COMPENSATE_ON, type CompensateOn } from '../core/compensation.js';
import { InvalidInputError } from '../core/errors/index.js';
import type { RetryPolicy } from '../core/retry-policy.js';
import type { PassHandle } from './pass-handle.js';
import type { Undo, UndoSource } from './undo.js';

/**
 * Makes the compensation of a call. Encodes the arguments now, so that arguments that cannot be
 * stored fail the call before its work begins.
 *
 * @throws SerializationError, PayloadTooLargeError
 */
export function toUndo(
  pass: PassHandle,
  { on = 'completed', body, policy }: UndoSource,
  args: readonly unknown[],
  step: { readonly retry: RetryPolicy; readonly timeoutMs: number | null },
  subject: string,
): Undo {
  const { retry, timeoutMs } = policy ?? step;
  return {
    on,
    body,
    retry,
    timeoutMs,
    isolation: policy?.isolation,
    limit: policy?.limit,
    args: pass.encode(args, `arguments of ${subject}, which has a compensation`),
  };
}

/**
 * Checks the options `compensate` and `compensateOn` together with `timeout`.
 *
 * A step that has timed out may have done its work. So its author must say if such a step is undone
 * too.
 *
 * @param argument name of the options, for errors
 * @throws InvalidInputError
 */
export function checkCompensation(
  options: { readonly compensate?: unknown; readonly compensateOn?: unknown; readonly timeout?: unknown },
  argument: string,
): void {
  const { compensate, compensateOn, timeout } = options;
  if (compensateOn !== undefined && !COMPENSATE_ON.includes(compensateOn as CompensateOn))
    throw new InvalidInputError(`${argument}.compensateOn`, `must be 'completed' or 'attempted'`);
  if (compensate === undefined) {
    if (compensateOn !== undefined) throw new InvalidInputError(`${argument}.compensateOn`, 'needs compensate');
    return;
  }
  if (timeout !== undefined && compensateOn === undefined)
    throw new InvalidInputError(
      `${argument}.compensateOn`,
      `is required with timeout: a step that has timed out may have done its work. 'attempted' undoes such a step, 'completed' does not`,
    );
}
