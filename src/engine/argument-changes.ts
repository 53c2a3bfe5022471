import { ArgumentChangedError } from '../core/errors/index.js';
import type { Call, StepSpec } from './call.js';
import type { PassHandle } from './pass-handle.js';
import { warnOnce } from './warn-once.js';

/**
 * Finds an argument that the body of a step has changed. `run` would see the change now, but not in
 * a replay, which executes no body.
 *
 * When the argument was copied, `run` never sees the change. Development warns, because the author
 * may count on it.
 *
 * @param used arguments with which the body was called
 * @param thrown value that the body threw, if it did
 * @returns the error that the step fails with in development; production only warns
 */
export function findChange(
  pass: PassHandle,
  call: Call,
  { given }: StepSpec,
  used: readonly unknown[],
  thrown?: unknown,
): ArgumentChangedError | undefined {
  const { isDevelopment } = pass.settings;
  if (!given || !(given.hasOriginals || (isDevelopment && given.hasCopies))) return undefined;
  const change = given.changed(used);
  if (!change) return undefined;
  const error = new ArgumentChangedError(call.stepKey, change.index, classOf(used[change.index]), thrown);
  if (isDevelopment && change.was === 'the original') return error;
  const place = `${pass.definition.name}\n${call.name}\n${change.index}\n${change.was}`;
  if (change.was === 'the original') warnOnce(place, () => pass.warn(error.message));
  else warnOnce(place, () => pass.warn(`${error.what}. The step had a copy: run() does not see the change. Return what the step makes`));
  return undefined;
}

function classOf(value: unknown): string | undefined {
  try {
    const { constructor } = value as { constructor?: unknown };
    return typeof constructor === 'function' && constructor !== Object && constructor !== Array ? constructor.name : undefined;
  } catch {
    return undefined;
  }
}
