import { InvalidInputError, RunEndedError } from '../core/errors/index.js';
import type { OpenWait } from '../core/step.js';
import type { Call } from './call.js';
import type { ChildCompensation, InvokeOptions } from './context-options.js';
import type { CallRequest, PassHandle } from './pass-handle.js';
import { toUndo } from './undo-options.js';

/**
 * Returns the compensation of `ctx.invoke`. A child that still runs is cancelled first, and undoes
 * its own steps. The parent undoes the child only if the child completes nevertheless.
 *
 * @param listen waits for the end of a child that was started
 * @throws InvalidInputError
 */
export function undoOfChild(
  pass: PassHandle,
  { compensate, onCancel }: InvokeOptions & ChildCompensation<never>,
  listen: (call: Call, wait: OpenWait) => void,
): Pick<CallRequest, 'undo' | 'bringToEnd'> {
  if (compensate === undefined) return {};
  if (typeof compensate !== 'function') throw new InvalidInputError('options.compensate', 'must be a function');
  const { retry, stepTimeoutMs: timeoutMs } = pass.definition;
  const undo = toUndo(pass, { body: (output) => compensate(output as never) }, [], { retry, timeoutMs }, 'a child');
  const bringToEnd = (call: Call): void => {
    const wait = call.childWait ?? pass.recordedWait(call.stepKey);
    if (!call.hasBegun) call.begin(pass.settings.now(), wait);
    if (wait) {
      if (onCancel !== 'leave' && !call.isDetached) pass.effects.cancelChild(null, wait.name!);
      // A cancellation has ended the wait, or the wait has not begun in this pass.
      if (call.channel === undefined || call.isDetached) listen(call, wait);
      return;
    }
    // The child was never started, because the wait for it becomes durable together with its start.
    pass.results.settle(call, { error: pass.encodeError(new RunEndedError(pass.run.id)), attempts: 0 });
  };
  return { undo, bringToEnd };
}
