import { checkOptions, isPlainObject } from './check-options.js';
import { toMilliseconds, type Duration } from './duration.js';
import { InvalidInputError, WorkflowConfigurationError } from './errors/index.js';
import type { BatchRule, BatchStart } from './batch-start.js';
import { newNonce, newRunId } from './ids.js';

declare const BATCH: unique symbol;

/**
 * Inputs of a batch: the type of `run`'s first parameter in a workflow with the option `batch`. An
 * array of the elements, in the order of the starts. Tells `client.start` that one start takes one
 * element.
 */
export type Batch<T> = readonly T[] & { readonly [BATCH]?: T };

/** Element of a batch, when `I` is a `Batch`; otherwise `I`. */
export type ElementOfBatch<I> = typeof BATCH extends keyof I ? (I extends readonly (infer T)[] ? T : never) : I;

/** Result of one member of a batch, when `I` is a `Batch`; otherwise `O`. */
export type ResultOfMember<I, O> = typeof BATCH extends keyof I ? (O extends readonly (infer T)[] ? T : O) : O;

/** Option `batch` of a workflow. */
export interface BatchOptions {
  /** Largest number of members, from 1 to 1,000. A batch with this many members starts at once. */
  size: number;
  /**
   * Longest time from the first member to the start of the batch, from 10 ms to 366 days:
   * milliseconds, or a duration such as `'2s'`.
   */
  wait: Duration;
}

const MAX_SIZE = 1_000;
const SHORTEST_WAIT = { ms: 10, inWords: '10 ms' };
const LONGEST_WAIT_MS = 366 * 86_400_000;

/**
 * Checks the option `batch` of a workflow.
 *
 * @throws WorkflowConfigurationError, InvalidInputError
 */
export function checkBatch(batch: BatchOptions, where: string): BatchRule {
  if (!isPlainObject(batch)) throw new WorkflowConfigurationError(`${where} must be an object with size and wait`);
  const { size, wait } = checkOptions(batch as BatchOptions, where, ['size', 'wait']);
  if (!Number.isInteger(size) || size < 1 || size > MAX_SIZE)
    throw new WorkflowConfigurationError(`${where}.size must be a whole number from 1 to 1,000, not ${String(size)}`);
  const waitMs = toMilliseconds(wait, `${where}.wait`, SHORTEST_WAIT);
  if (waitMs > LONGEST_WAIT_MS) throw new InvalidInputError(`${where}.wait`, 'must be at most 366 days');
  return { size, waitMs };
}

export function newBatchStart(rule: BatchRule): BatchStart {
  return { ...rule, batchId: newRunId(), batchNonce: newNonce() };
}

/** Start of the stored form of a batch: its inputs or its outputs, each in its own stored form. */
const HEAD = '{"$durable":"batch","values":';

/** Stored input of a batch whose members are not fixed yet. */
export const UNSEALED_BATCH = `${HEAD}null}`;

export function isStoredBatch(stored: string): boolean {
  return stored.startsWith(HEAD);
}

/** Joins stored payloads to the stored form of a batch. */
export function joinBatch(payloads: readonly string[]): string {
  return `${HEAD}[${payloads.join(',')}]}`;
}

/** Splits the stored form of a batch. A batch whose members are not fixed has none. */
export function splitBatch(stored: string): string[] {
  const { values } = JSON.parse(stored) as { values: unknown[] | null };
  return (values ?? []).map((value) => JSON.stringify(value));
}
