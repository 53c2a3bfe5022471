import { ArgumentChangedError } from '../core/errors/index.js';
import type { Call, StepSpec } from './call.js';
import type { PassHandle } from './pass-handle.js';
import { warnOnce } from './warn-once.js';

/**
 * Finds an argument that the body of a step has changed. When the body got the original object,
 * `run` sees the change in this pass. In a replay, `run` does not see the change, because a replay
 * executes no body.
 *
 * When the body got a copy of the argument, `run` never sees the change. Development mode warns of
 * such a change, because the author may expect `run` to see it.
 *
 * @param used arguments with which the body was called
 * @param thrown value that the body threw; undefined when it succeeded
 * @returns the error with which the step must fail, when development mode is on and an original has
 * changed; in other cases a change is only logged as a warning
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
  if (change.was === 'the original') warnOnce(place, () => pass.warn('argument-changed', error.message));
  else
    warnOnce(place, () =>
      pass.warn('argument-changed', `${error.what}. The step had a copy: run() does not see the change. Return what the step makes`),
    );
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
