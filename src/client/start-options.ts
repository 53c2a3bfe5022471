import type { EntityManager } from 'typeorm';

import { newBatchStart } from '../core/batch.js';
import { checkOptions, isPlainObject, keysOf } from '../core/check-options.js';
import { toMilliseconds, toTimestamp, type Duration } from '../core/duration.js';
import { InvalidInputError, WorkflowError } from '../core/errors/index.js';
import { checkText, newNonce, newRunId } from '../core/ids.js';
import type { Payloads } from '../core/payloads.js';
import { computeQueueKey, type QueueKeyFunction } from '../core/queue-key.js';
import { ANY_VERSION, type NewRun } from '../core/run.js';
import type { StandardSchema } from '../core/standard-schema.js';
import { DEFAULT_QUEUE, workflowIdentityOf, type WorkflowIdentity } from '../core/workflow-metadata.js';
import { isWorkflowRef } from '../core/workflow-types.js';
import { checkTag } from './queries/run-filter.js';
import { checkSharedStart, type SharedStartOptions } from './shared-start-options.js';

/** Options of a start. */
export interface StartOptions extends SharedStartOptions {
  /**
   * Id of the run. A second start of the same workflow with this id returns the existing run.
   * (default: a new ULID)
   */
  id?: string;
  /**
   * Action when a run of this workflow already has the id, even if that run has ended.
   *
   * `'return'` returns the existing run. The input and options of this start are ignored, and the
   * handle's `created` is false. `'reject'` throws RunAlreadyExistsError.
   *
   * To continue a failed run, retry it. To use its id for a new run, delete it first
   * (docs/operations.md). (default: `'return'`)
   */
  onConflict?: 'return' | 'reject';
  /**
   * Queue of the run. (default: the workflow's queue; for a workflow given by name, `'default'`)
   */
  queue?: string;
  /**
   * Key of the run within its queue, such as a tenant. Limits with `key` count the runs of each key
   * apart. (default: the result of the workflow's `queueKey`; without one, no key)
   */
  queueKey?: string;
  /**
   * Priority from -32,768 to 32,767. Due runs with a higher priority are claimed first. (default:
   * 0)
   */
  priority?: number;
  /**
   * Time to wait before the run starts: milliseconds, or a duration such as `'5m'`. Cannot be
   * combined with `startAt`. (default: none)
   */
  delay?: Duration;
  /** Earliest moment at which the run starts. Cannot be combined with `delay`. (default: now) */
  startAt?: Date;
  /**
   * Longest duration of the run: milliseconds, a duration such as `'5m'`, or the Date of its
   * deadline. A duration counts from the moment when the run is first due. At the deadline, open
   * steps and waits reject with WorkflowTimeoutError, and the run ends `failed`. (default: the
   * workflow's `timeout`, or else the module's `defaults.runTimeout`)
   */
  timeout?: Duration | Date;
  /**
   * Up to 50 tags, each a key with a text. `client.list` finds runs by their tags. (default: none)
   */
  tags?: Record<string, string>;
  /**
   * Transaction to join: the run exists when this transaction commits, and never if it rolls back.
   * `'none'` joins no transaction. (default: the transaction that the module's `currentTransaction`
   * returns, if any)
   */
  manager?: EntityManager | 'none';
}

const MAX_TAGS = 50;
/** Keys of `StartOptions`. */
export const START_OPTIONS = [
  'id',
  'onConflict',
  'queue',
  'queueKey',
  'priority',
  'delay',
  'startAt',
  'timeout',
  'tags',
  'debounce',
  'throttle',
  'manager',
];

/** A start whose arguments, except the input, have been checked. */
export interface CheckedStart {
  /** Copy of the options, so that the caller cannot change them after the check. */
  readonly options: StartOptions;
  readonly schema: StandardSchema | undefined;
  /** Computes the queue key from the input; undefined when the options give the key. */
  readonly queueKey: QueueKeyFunction | undefined;
  /** The run, without its input. */
  readonly run: Omit<NewRun, 'input'>;
}

/** Parts of a client that a start needs. */
export interface StartingClient {
  readonly deploymentId: string;
  readonly module: string | undefined;
  /**
   * Milliseconds that a run may take when its workflow sets no timeout. Null when there is no
   * limit.
   */
  readonly runTimeoutMs: number | null;
  /** Returns the current time of the database's clock, in milliseconds since 1970. */
  now(): number;
  /** Returns the newest class of a workflow; undefined when this process has no such class. */
  workflowClass?(name: string): Function | undefined;
}

/**
 * Checks the arguments of a start, and returns the run without its input. Writes nothing.
 *
 * @throws InvalidInputError, WorkflowNotFoundError
 */
export function checkStart(target: unknown, given: StartOptions, client: StartingClient): CheckedStart {
  const options = checkStartOptions(given);
  const { id, onConflict, queue, queueKey, priority, delay, startAt, timeout, tags } = options;
  if (onConflict !== undefined && onConflict !== 'return' && onConflict !== 'reject') {
    throw new InvalidInputError('options.onConflict', "must be 'return' or 'reject'");
  }
  if (priority !== undefined && !(Number.isInteger(priority) && priority >= -32_768 && priority <= 32_767)) {
    throw new InvalidInputError('options.priority', 'must be a whole number from -32,768 to 32,767');
  }
  if (delay !== undefined && startAt !== undefined)
    throw new InvalidInputError('options.startAt', 'cannot be given together with options.delay');
  const shared = checkSharedStart(options);
  const workflow = workflowOf(target, client);
  const { batch } = workflow;
  const isByName = workflow.version === ANY_VERSION;
  if (batch && timeout !== undefined && !isByName)
    throw new InvalidInputError(
      'options.timeout',
      'cannot be given for a workflow with batch: set timeout in @Workflow, for the whole batch',
    );
  // A run with a time of its own is executed on its own.
  const joinsBatch = batch && delay === undefined && startAt === undefined && timeout === undefined && !shared;
  const delayMs = delay === undefined ? null : toMilliseconds(delay, 'options.delay');
  const due = startAt === undefined ? null : toTimestamp(startAt, 'options.startAt');
  const run = {
    id: id === undefined ? newRunId() : checkText(id, 'options.id'),
    name: workflow.name,
    version: workflow.version,
    queue: queue === undefined ? workflow.queue : checkText(queue, 'options.queue'),
    priority: priority ?? 0,
    tags: checkTags(tags),
    delayMs,
    startAt: due,
    timeoutMs:
      timeout === undefined
        ? defaultTimeout(workflow, client)
        : timeoutFrom(timeout, due ?? client.now() + (delayMs ?? (shared?.kind === 'debounce' ? shared.periodMs : 0))),
    nonce: newNonce(),
    ...(id === undefined ? {} : { hasGivenId: true as const }),
    deploymentId: client.deploymentId,
    ...(queueKey === undefined ? {} : { queueKey: checkText(queueKey, 'options.queueKey') }),
    ...(shared && { shared }),
    ...(joinsBatch && { batch: newBatchStart(batch) }),
  };
  return { options, schema: workflow.input, queueKey: queueKey === undefined ? workflow.queueKey : undefined, run };
}

/**
 * Returns the default timeout in milliseconds; null when there is no limit. Also returns null for a
 * run that is started by name: the worker that claims the run sets its timeout, because only the
 * worker knows the workflow.
 */
function defaultTimeout({ version, timeoutMs }: StartedWorkflow, client: StartingClient): number | null {
  return version === ANY_VERSION ? null : (timeoutMs ?? client.runTimeoutMs);
}

/** Converts a timeout to milliseconds, counted from the moment when the run is due. */
function timeoutFrom(timeout: Duration | Date, dueAt: number): number {
  if (!(timeout instanceof Date)) return toMilliseconds(timeout, 'options.timeout');
  return Math.max(0, toTimestamp(timeout, 'options.timeout') - dueAt);
}

/**
 * Checks the options of a start, and returns a copy of them.
 *
 * @throws InvalidInputError when an option is unknown
 */
export function checkStartOptions(given: StartOptions): StartOptions {
  return checkOptions(given, 'options', START_OPTIONS);
}

/**
 * Returns the error text for a start of a workflow by another module's client. Such a run would
 * wait for ever: no worker of the workflow's module reads the other module's tables.
 */
function inOtherModule(workflow: string, module: string | undefined, clientModule: string | undefined): string {
  const call = (name: string | undefined): string => (name === undefined ? 'the module without a name' : `module "${name}"`);
  const token = module === undefined ? '' : JSON.stringify(module);
  return `"${workflow}" belongs to ${call(module)}, and this is the client of ${call(clientModule)}: inject the other one with @InjectWorkflowClient(${token})`;
}

/**
 * Adds the encoded input to a checked run.
 *
 * @throws SerializationError, PayloadTooLargeError
 * @throws InvalidInputError when the workflow's `queueKey` returns no valid key
 */
export function toNewRun({ run, queueKey }: CheckedStart, input: unknown, payloads: Payloads, argument: string): NewRun {
  const key = queueKey ? { queueKey: computeQueueKey(queueKey, input) } : undefined;
  return { ...run, ...key, input: payloads.encode(input, argument, run.id, 'input') };
}

type StartedWorkflow = Pick<WorkflowIdentity, 'name' | 'version' | 'queue' | 'queueKey' | 'batch' | 'timeoutMs' | 'input'>;

function workflowOf(target: unknown, client: StartingClient): StartedWorkflow {
  if (typeof target === 'string') return byName(checkText(target, 'name of the workflow'), client);
  let workflow: WorkflowIdentity;
  try {
    if (isWorkflowRef(target)) return byName(checkText(target.name, 'name of the workflow'), client);
    workflow = workflowIdentityOf(target);
  } catch (error) {
    if (error instanceof WorkflowError) throw error;
    // Reading the target threw an error. It is probably a proxy.
    throw new InvalidInputError('workflow', 'cannot be read', { cause: error });
  }
  const { name, module } = workflow;
  if (module !== client.module) throw new InvalidInputError('workflow', inOtherModule(name, module, client.module));
  return workflow;
}

/**
 * Returns what is known of a workflow by its name. A start joins a batch if this process has the
 * class; other options of the class do not count.
 */
function byName(name: string, client: StartingClient): StartedWorkflow {
  const known = client.workflowClass?.(name);
  return {
    name,
    version: ANY_VERSION,
    queue: DEFAULT_QUEUE,
    queueKey: undefined,
    batch: known && workflowIdentityOf(known).batch,
    timeoutMs: undefined,
    input: undefined,
  };
}

/** Checks the tags of runs, and returns a copy of them. */
export function checkTags(tags: Record<string, string> | undefined, argument = 'options.tags'): Record<string, string> {
  if (tags === undefined) return {};
  if (!isPlainObject(tags)) throw new InvalidInputError(argument, 'must be an object of texts');
  const keys = keysOf(tags, argument);
  if (keys.length > MAX_TAGS) throw new InvalidInputError(argument, `must have at most ${MAX_TAGS} tags, not ${keys.length}`);
  const entries = keys.map((key) => {
    checkText(key, `a key of ${argument}`);
    return [key, checkTag(tags, key, `${argument}[${JSON.stringify(key)}]`)] as const;
  });
  return Object.fromEntries(entries);
}
