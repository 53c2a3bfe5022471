import { isPromise } from './async.js';
import { InvalidInputError } from './errors/input-errors.js';
import { checkText } from './ids.js';

/** Computes the queue key of a run from its input. The input has the type of `run`'s input. */
export type QueueKeyFunction = (input: never) => string;

/**
 * Computes the queue key of a run by the function of its workflow.
 *
 * @throws InvalidInputError when the function throws, or returns anything but a valid key
 */
export function computeQueueKey(queueKey: QueueKeyFunction, input: unknown): string {
  let key: unknown;
  try {
    key = queueKey(input as never);
  } catch (cause) {
    throw new InvalidInputError('queueKey', 'of the workflow threw an error for this input', { cause });
  }
  if (isPromise(key)) {
    // The promise may reject, and nobody else handles that.
    void Promise.resolve(key).catch(() => undefined);
    throw new InvalidInputError('queueKey', 'of the workflow must return a text synchronously: the function returned a promise');
  }
  return checkText(key, 'the key that queueKey of the workflow returned');
}
