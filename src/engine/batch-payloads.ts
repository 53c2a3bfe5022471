import { isStoredBatch } from '../core/batch.js';
import { InvalidInputError } from '../core/errors/index.js';
import type { EngineSettings, PassRun, WorkflowDefinition } from './ports.js';

interface Parts {
  readonly run: PassRun;
  readonly definition: WorkflowDefinition;
  readonly settings: EngineSettings;
}

/**
 * Decodes the input of a run. A workflow with batches always takes an array: a run that is executed
 * on its own, such as a member that is retried, is a batch of one.
 *
 * @throws PayloadUnreadableError
 */
export function decodeInput({ run, definition, settings }: Parts): unknown {
  const input = settings.payloads.decode(run.input, 'input');
  return definition.isBatch && !isStoredBatch(run.input) ? [input] : input;
}

/**
 * Encodes the result of `run()`. When the workflow of a batch returns an array, each member gets
 * the result at its place; any other result is the result of each member.
 *
 * @throws InvalidInputError when the array has another length than the inputs
 * @throws SerializationError, PayloadTooLargeError
 */
export function encodeOutput({ run, definition, settings }: Parts, value: unknown): string {
  const { payloads } = settings;
  if (!definition.isBatch || !Array.isArray(value)) return payloads.encode(value, 'output', run.id, 'output');
  const isAlone = !isStoredBatch(run.input);
  const count = isAlone ? 1 : (payloads.decode(run.input, 'input') as unknown[]).length;
  if (value.length !== count)
    throw new InvalidInputError('the result of run', `must have one element for each of the ${count} inputs, not ${value.length}`);
  return isAlone ? payloads.encode(value[0], 'output', run.id, 'output') : payloads.encodeBatch(value, 'output', run.id, 'output');
}
