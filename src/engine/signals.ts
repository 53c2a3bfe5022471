import { checkOptions } from '../core/check-options.js';
import { channelOf } from '../core/message-kinds.js';
import { checkSignal } from '../core/signal.js';
import { signalStepName } from '../core/step-key-format.js';
import type { PassHandle } from './pass-handle.js';
import type { SignalOptions } from './context-options.js';
import { beginWait, deadlineOf, type WaitSpec } from './wait.js';

/**
 * Waits for a signal with a given name. Takes the oldest signal that no wait has taken, or the next
 * one that arrives.
 */
export function waitForSignal(pass: PassHandle, definition: unknown, options: SignalOptions = {}): Promise<unknown> {
  const { name } = checkSignal(definition, 'signal');
  checkOptions(options, 'options', ['timeout', 'signal']);
  const spec: WaitSpec = {
    kind: 'signal',
    name,
    wakeAt: deadlineOf(pass, options.timeout, 'options.timeout'),
    expired: () => ({ output: 'null', attempts: 1 }),
    channel: channelOf('signal', name),
    taken: ({ payload }) => ({ output: payload, attempts: 1 }),
  };
  return pass.call({ kind: 'signal', name: signalStepName(name), begin: (call) => beginWait(pass, call, spec), signal: options.signal });
}
