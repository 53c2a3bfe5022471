import type { EntityManager } from 'typeorm';

import { checkOptions, isPlainObject } from '../core/check-options.js';
import { toMilliseconds, toTimestamp, type Duration } from '../core/duration.js';
import { InvalidInputError, PayloadTooLargeError } from '../core/errors/index.js';
import { checkText, newNonce, newRunId } from '../core/ids.js';
import { ANY_VERSION, type NewRun } from '../core/run.js';
import { encode } from '../core/serializer/index.js';
import { DEFAULT_QUEUE, workflowMetadataOf } from '../core/workflow-metadata.js';
import { isWorkflowRef } from './workflow-types.js';

/** How a run is started. */
export interface StartOptions {
  /** The run's id; a new ULID when absent. Starting again with the same id and workflow gives the same run. */
  id?: string;
  /** What to do when the id is taken by a run of the same workflow: `'return'` that run (the default), or `'reject'`. */
  onConflict?: 'return' | 'reject';
  /** Default: the workflow's queue. */
  queue?: string;
  /** Of the runs that are due, those with a higher number are claimed first. From -32,768 to 32,767, default 0. */
  priority?: number;
  /** Do not begin before so much time has passed. */
  delay?: Duration;
  /** Do not begin before that moment. */
  startAt?: Date;
  /** Up to 50 texts to find the run by. */
  tags?: Record<string, string>;
  /**
   * Join this transaction: the run exists when it commits, and never if it does not. `'none'`: join none. Absent: the one that the module's
   * `transactionManager` finds, if any.
   */
  manager?: EntityManager | 'none';
}

const MAX_TAGS = 50;
const START_OPTIONS = ['id', 'onConflict', 'queue', 'priority', 'delay', 'startAt', 'tags', 'manager'];

/**
 * Checks the arguments of a start and makes the run of them. Nothing is written.
 *
 * @throws InvalidInputError, WorkflowNotFoundError, SerializationError, PayloadTooLargeError
 */
export function toNewRun(
  target: unknown,
  input: unknown,
  options: StartOptions,
  limits: { maxPayloadBytes: number; deploymentId: string; module: string | undefined },
): NewRun {
  checkOptions(options, 'options', START_OPTIONS);
  const { id, onConflict, queue, priority, delay, startAt, tags } = options;
  if (onConflict !== undefined && onConflict !== 'return' && onConflict !== 'reject') {
    throw new InvalidInputError('options.onConflict', "must be 'return' or 'reject'");
  }
  if (priority !== undefined && !(Number.isInteger(priority) && priority >= -32_768 && priority <= 32_767)) {
    throw new InvalidInputError('options.priority', 'must be a whole number from -32,768 to 32,767');
  }
  if (delay !== undefined && startAt !== undefined)
    throw new InvalidInputError('options.startAt', 'cannot be given together with options.delay');
  const workflow = workflowOf(target, limits.module);
  return {
    id: id === undefined ? newRunId() : checkText(id, 'options.id'),
    name: workflow.name,
    version: workflow.version,
    queue: queue === undefined ? workflow.queue : checkText(queue, 'options.queue'),
    priority: priority ?? 0,
    input: encodeInput(input, limits.maxPayloadBytes),
    tags: checkTags(tags),
    delayMs: delay === undefined ? null : toMilliseconds(delay, 'options.delay'),
    startAt: startAt === undefined ? null : toTimestamp(startAt, 'options.startAt'),
    nonce: newNonce(),
    deploymentId: limits.deploymentId,
  };
}

function workflowOf(target: unknown, clientModule: string | undefined): { name: string; version: number; queue: string } {
  if (typeof target === 'string') return { name: checkText(target, 'name of the workflow'), version: ANY_VERSION, queue: DEFAULT_QUEUE };
  if (isWorkflowRef(target)) return { name: target.name, version: ANY_VERSION, queue: DEFAULT_QUEUE };
  const { name, version = 1, queue = DEFAULT_QUEUE, module } = workflowMetadataOf(target);
  if (module !== clientModule) throw new InvalidInputError('workflow', inOtherModule(name, module, clientModule));
  return { name, version, queue };
}

/** Its run would wait for ever, in tables that no worker of the other module looks at. */
function inOtherModule(workflow: string, module: string | undefined, clientModule: string | undefined): string {
  const call = (name: string | undefined): string => (name === undefined ? 'the module without a name' : `module "${name}"`);
  const token = module === undefined ? '' : JSON.stringify(module);
  return `"${workflow}" belongs to ${call(module)}, and this is the client of ${call(clientModule)}: inject the other one with @InjectWorkflowClient(${token})`;
}

function encodeInput(input: unknown, maxPayloadBytes: number): string {
  const text = encode(input, 'input');
  const bytes = text.length * 3 > maxPayloadBytes ? Buffer.byteLength(text) : 0;
  if (bytes > maxPayloadBytes) throw new PayloadTooLargeError('input', bytes, maxPayloadBytes);
  return text;
}

function checkTags(tags: Record<string, string> | undefined): Record<string, string> {
  if (tags === undefined) return {};
  if (!isPlainObject(tags)) throw new InvalidInputError('options.tags', 'must be an object of texts');
  const keys = Object.keys(tags);
  if (keys.length > MAX_TAGS) throw new InvalidInputError('options.tags', `must have at most ${MAX_TAGS} tags, not ${keys.length}`);
  for (const key of keys) {
    checkText(key, 'a key of options.tags');
    checkText(tags[key], `options.tags[${JSON.stringify(key)}]`);
  }
  return tags;
}
