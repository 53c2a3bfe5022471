import type { EntityManager } from 'typeorm';

import { checkOptions, isPlainObject, keysOf } from '../core/check-options.js';
import { toMilliseconds, toTimestamp, type Duration } from '../core/duration.js';
import { InvalidInputError, WorkflowError } from '../core/errors/index.js';
import { checkText, newNonce, newRunId } from '../core/ids.js';
import type { Payloads } from '../core/payloads.js';
import { ANY_VERSION, type NewRun } from '../core/run.js';
import type { StandardSchema } from '../core/standard-schema.js';
import { DEFAULT_QUEUE, workflowIdentityOf, type WorkflowIdentity } from '../core/workflow-metadata.js';
import { isWorkflowRef } from '../core/workflow-types.js';
import { checkTag } from './queries/run-filter.js';

/** How a run is started. */
export interface StartOptions {
  /** The run's id; a new ULID when absent. Starting again with the same id and workflow gives the same run. */
  id?: string;
  /**
   * What to do when the id is taken by a run of the same workflow, also one that has ended, however it
   * ended: `'return'` that run (the default; input and options of this start are dropped, and the
   * handle's `created` is false), or `'reject'`. To have a failed run go on, retry it; to begin anew
   * under the same id, delete the run first (docs/operations.md).
   */
  onConflict?: 'return' | 'reject';
  /** Default: the workflow's queue. */
  queue?: string;
  /** Of the runs that are due, those with a higher number are claimed first. From -32,768 to 32,767, default 0. */
  priority?: number;
  /** Do not begin before so much time has passed. */
  delay?: Duration;
  /** Do not begin before that moment. */
  startAt?: Date;
  /**
   * How long the run may take from when it is first due, or until when. After that its open steps and waits reject with WorkflowTimeoutError, and it ends
   * `failed`. Default: the `timeout` of its workflow.
   */
  timeout?: Duration | Date;
  /** Up to 50 texts to find the run by. */
  tags?: Record<string, string>;
  /**
   * Join this transaction: the run exists when it commits, and never if it does not. `'none'`: join none. Absent: the one that the module's
   * `currentTransaction` finds, if any.
   */
  manager?: EntityManager | 'none';
}

const MAX_TAGS = 50;
/** The keys of `StartOptions`. */
export const START_OPTIONS = ['id', 'onConflict', 'queue', 'priority', 'delay', 'startAt', 'timeout', 'tags', 'manager'];

/** A start whose arguments but the input have been checked. */
export interface CheckedStart {
  /** A copy: what was checked is what is used. */
  readonly options: StartOptions;
  readonly schema: StandardSchema | undefined;
  /** The run, without its input. */
  readonly run: Omit<NewRun, 'input'>;
}

/** What a start takes from whoever makes it. */
export interface StartingClient {
  readonly deploymentId: string;
  readonly module: string | undefined;
  /** Of runs whose workflow has no timeout of its own; null for none. */
  readonly runTimeoutMs: number | null;
  /** Milliseconds since the epoch, by the database's clock. */
  now(): number;
}

/**
 * Checks the arguments of a start. Nothing is written.
 *
 * @throws InvalidInputError, WorkflowNotFoundError
 */
export function checkStart(target: unknown, given: StartOptions, client: StartingClient): CheckedStart {
  const options = checkStartOptions(given);
  const { id, onConflict, queue, priority, delay, startAt, timeout, tags } = options;
  if (onConflict !== undefined && onConflict !== 'return' && onConflict !== 'reject') {
    throw new InvalidInputError('options.onConflict', "must be 'return' or 'reject'");
  }
  if (priority !== undefined && !(Number.isInteger(priority) && priority >= -32_768 && priority <= 32_767)) {
    throw new InvalidInputError('options.priority', 'must be a whole number from -32,768 to 32,767');
  }
  if (delay !== undefined && startAt !== undefined)
    throw new InvalidInputError('options.startAt', 'cannot be given together with options.delay');
  const workflow = workflowOf(target, client.module);
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
    timeoutMs: timeout === undefined ? standardTimeout(workflow, client) : timeoutFrom(timeout, due ?? client.now() + (delayMs ?? 0)),
    nonce: newNonce(),
    ...(id === undefined ? {} : { hasGivenId: true as const }),
    deploymentId: client.deploymentId,
  };
  return { options, schema: workflow.input, run };
}

/** Whoever claims a run that was started by name alone knows the workflow, and what its timeout is. */
function standardTimeout({ version, timeoutMs }: StartedWorkflow, client: StartingClient): number | null {
  return version === ANY_VERSION ? null : (timeoutMs ?? client.runTimeoutMs);
}

/** A moment counts as so long after the run is due. */
function timeoutFrom(timeout: Duration | Date, dueAt: number): number {
  if (!(timeout instanceof Date)) return toMilliseconds(timeout, 'options.timeout');
  return Math.max(0, toTimestamp(timeout, 'options.timeout') - dueAt);
}

/** @throws InvalidInputError */
export function checkStartOptions(given: StartOptions): StartOptions {
  return checkOptions(given, 'options', START_OPTIONS);
}

/** Its run would wait for ever, in tables that no worker of the other module looks at. */
function inOtherModule(workflow: string, module: string | undefined, clientModule: string | undefined): string {
  const call = (name: string | undefined): string => (name === undefined ? 'the module without a name' : `module "${name}"`);
  const token = module === undefined ? '' : JSON.stringify(module);
  return `"${workflow}" belongs to ${call(module)}, and this is the client of ${call(clientModule)}: inject the other one with @InjectWorkflowClient(${token})`;
}

/** @throws SerializationError, PayloadTooLargeError */
export function toNewRun({ run }: CheckedStart, input: unknown, payloads: Payloads, argument: string): NewRun {
  return { ...run, input: payloads.encode(input, argument, run.id, 'input') };
}

type StartedWorkflow = Pick<WorkflowIdentity, 'name' | 'version' | 'queue' | 'timeoutMs' | 'input'>;

function workflowOf(target: unknown, clientModule: string | undefined): StartedWorkflow {
  if (typeof target === 'string') return byName(checkText(target, 'name of the workflow'));
  let workflow: WorkflowIdentity;
  try {
    if (isWorkflowRef(target)) return byName(checkText(target.name, 'name of the workflow'));
    workflow = workflowIdentityOf(target);
  } catch (error) {
    if (error instanceof WorkflowError) throw error;
    // A proxy that refuses to be looked at.
    throw new InvalidInputError('workflow', 'cannot be read', { cause: error });
  }
  const { name, module } = workflow;
  if (module !== clientModule) throw new InvalidInputError('workflow', inOtherModule(name, module, clientModule));
  return workflow;
}

function byName(name: string): StartedWorkflow {
  return { name, version: ANY_VERSION, queue: DEFAULT_QUEUE, timeoutMs: undefined, input: undefined };
}

function checkTags(tags: Record<string, string> | undefined): Record<string, string> {
  if (tags === undefined) return {};
  if (!isPlainObject(tags)) throw new InvalidInputError('options.tags', 'must be an object of texts');
  const keys = keysOf(tags, 'options.tags');
  if (keys.length > MAX_TAGS) throw new InvalidInputError('options.tags', `must have at most ${MAX_TAGS} tags, not ${keys.length}`);
  const entries = keys.map((key) => {
    checkText(key, 'a key of options.tags');
    return [key, checkTag(tags, key, `options.tags[${JSON.stringify(key)}]`)] as const;
  });
  return Object.fromEntries(entries);
}
