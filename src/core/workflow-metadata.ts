import type { BatchRule } from './batch-start.js';
import { checkBatch, type BatchOptions } from './batch.js';
import { checkOptions, isPlainObject } from './check-options.js';
import { COMPENSATION_ORDERS, type CompensationOrder } from './compensation.js';
import { toMilliseconds, type Duration } from './duration.js';
import { InvalidInputError, WorkflowConfigurationError, WorkflowNotFoundError } from './errors/index.js';
import { checkCondition, checkEvent, type EventDefinition, type EventSubscription } from './event.js';
import { checkName, checkText } from './ids.js';
import { checkRetention, type RetentionOptions, type RetentionRule } from './retention.js';
import type { QueueKeyFunction } from './queue-key.js';
import type { RetryOptions } from './retry-policy.js';
import { MAX_VERSION } from './run.js';
import { LISTENER_WORKFLOW_PREFIX } from './run-events.js';
import { isStandardSchema, type StandardSchema } from './standard-schema.js';

/** Options of `@Workflow`. */
export interface WorkflowOptions {
  /**
   * Name that identifies the workflow, together with the version, at most 240 characters. Keep it
   * when you rename the class.
   */
  name: string;
  /**
   * Version of the workflow, a whole number from 1. A run keeps the version with which it started.
   * (default: 1)
   */
  version?: number;
  /** Queue of runs that are started without a queue. (default: `'default'`) */
  queue?: string;
  /**
   * Computes the key of a run within its queue from the run's input, such as a tenant. Limits with
   * `key` count the runs of each key apart (docs/queues.md). The function must return a text of 1
   * to 255 characters, and must not be asynchronous. Not called for runs that are started by name.
   * (default: runs have no key)
   */
  queueKey?: QueueKeyFunction;
  /** Retry policy of steps that have none of their own. (default: the module's `defaults.retry`) */
  retry?: RetryOptions;
  /**
   * Order in which compensations are executed. `'serial'`: one after the other, in the reverse
   * order of the steps; the first one that fails for good ends the run. `'parallel'`: all at once,
   * for compensations that do not depend on each other. (default: `'serial'`)
   */
  compensation?: CompensationOrder;
  /**
   * Longest time that a run may take, including waits, from the moment when the run is first due:
   * milliseconds, or a duration such as `'5m'`. At the timeout, open steps and waits reject with
   * WorkflowTimeoutError. The `catch` and `finally` blocks of the workflow may still run steps for
   * 30 seconds. Then the run ends as `failed`. A `timeout` in the options of a start takes
   * precedence. (default: the module's `defaults.runTimeout`)
   */
  timeout?: Duration;
  /**
   * Time after which ended runs of the workflow are deleted. A status that is missing here has the
   * time of the module's `retention`. `false` keeps all runs of the workflow, also when retention
   * deletes their parents. Runs of a version that has no class and no recorded rule are kept for
   * the longest time of the other versions and the module. (default: the module's `retention`)
   */
  retention?: RetentionOptions | false;
  /**
   * Collects runs and executes them together: `run` receives the inputs of all members, as
   * `Batch<T>`. Each start has a handle and a result of its own. `run` returns an array with one
   * result per input, or another value, which is the result of each member. See docs/starts.md.
   * (default: each run is executed on its own)
   */
  batch?: BatchOptions;
  /**
   * Name of the WorkflowModule whose worker executes the workflow and whose client starts it.
   * (default: the module without a name)
   */
  module?: string;
  /**
   * Schema of zod, valibot or another library that follows https://standardschema.dev. When a run
   * is started by the class, the input is checked with the schema. The schema's output is stored
   * and passed to `run`.
   *
   * `start` accepts the type of `run`'s input, so the schema must accept that type too. For a
   * schema whose input type differs, declare `static readonly input = schema` on the class or on a
   * base class. `start` then accepts the schema's input type. (default: the static `input` schema
   * of the class; without one, no check)
   */
  input?: StandardSchema;
  /**
   * Event that starts a run of the workflow, or several. The payload of the event is the input of
   * the run. See docs/events.md. (default: no event starts the workflow)
   */
  on?: EventDefinition<unknown, never> | readonly EventStart[];
}

/** Event that starts a workflow, with a condition. */
export interface EventStart<P = unknown> {
  /** The event, made by `defineEvent`. */
  event: EventDefinition<P, never>;
  /**
   * Top-level fields that the payload must have: texts, numbers, booleans or null. (default: every
   * payload)
   */
  where?: Readonly<Record<string, string | number | boolean | null>>;
  /**
   * Id of the subscription, at most 100 characters. Needed when the same event starts the workflow
   * for several conditions. (default: an empty text)
   */
  id?: string;
}

/** Identity and defaults of a workflow, from the checked options of its class. */
export interface WorkflowIdentity {
  readonly name: string;
  readonly version: number;
  readonly queue: string;
  readonly queueKey: QueueKeyFunction | undefined;
  readonly retry: RetryOptions | undefined;
  readonly timeoutMs: number | undefined;
  readonly compensation: CompensationOrder | undefined;
  readonly retention: RetentionRule | 'keep' | undefined;
  readonly batch: BatchRule | undefined;
  readonly module: string | undefined;
  /** Nest's injection scope of the class. Only the code in `src/nest` interprets the number. */
  readonly scope: number | undefined;
  readonly input: StandardSchema | undefined;
  /** Events that start the workflow. */
  readonly subscriptions: readonly EventSubscription[];
}

/** Queue of runs and workers for which no queue is given. */
export const DEFAULT_QUEUE = 'default';

/** Longest id of a subscription, in characters. It is part of the ids of runs. */
const MAX_SUBSCRIPTION_ID_LENGTH = 100;

/** Names of all valid options. The decorator checks the value of `scope`. */
const OPTIONS = [
  'name',
  'version',
  'queue',
  'queueKey',
  'retry',
  'compensation',
  'timeout',
  'retention',
  'batch',
  'module',
  'scope',
  'input',
  'on',
];
const METADATA = Symbol.for('nestjs-durable.workflow');
const identities = new WeakMap<Function, WorkflowIdentity>();

/**
 * Stores a copy of the options on the class. `workflowIdentityOf` checks the options later.
 *
 * @returns the copy
 * @throws WorkflowConfigurationError when the options are not an object
 * @throws InvalidInputError when the options cannot be read
 */
export function setWorkflowMetadata<Options extends WorkflowOptions>(target: Function, options: Options): Options {
  const where = placeOf(target);
  if (!isPlainObject(options)) throw new WorkflowConfigurationError(`${where}: the options must be an object with a name`);
  const copy = read(options, where);
  Object.defineProperty(target, METADATA, { value: copy, configurable: true });
  return copy;
}

/** True when the class itself was decorated, and not only a class that it extends. */
export function hasWorkflowMetadata(target: unknown): target is Function {
  return typeof target === 'function' && Object.hasOwn(target, METADATA);
}

/**
 * Returns the checked options of a workflow class.
 *
 * @throws WorkflowNotFoundError when the class has no `@Workflow`
 * @throws WorkflowConfigurationError or InvalidInputError when an option is not valid
 */
export function workflowIdentityOf(target: unknown): WorkflowIdentity {
  if (!hasWorkflowMetadata(target)) throw new WorkflowNotFoundError(typeof target === 'function' ? target.name : typeof target);
  let identity = identities.get(target);
  if (!identity) {
    identity = checkIdentity(target, (target as unknown as Record<symbol, WorkflowOptions>)[METADATA]!);
    identities.set(target, identity);
  }
  return identity;
}

function checkIdentity(target: Function, options: WorkflowOptions): WorkflowIdentity {
  const where = placeOf(target);
  for (const key of Object.keys(options)) {
    if (!OPTIONS.includes(key)) throw new WorkflowConfigurationError(`${where}: "${key}" is not an option`);
  }
  const {
    name,
    version = 1,
    queue = DEFAULT_QUEUE,
    queueKey,
    retry,
    compensation,
    timeout,
    retention,
    batch,
    module,
    input = staticInputOf(target),
    on,
  } = options;
  if (!Number.isInteger(version) || version < 1 || version > MAX_VERSION) {
    throw new WorkflowConfigurationError(`${where}: version must be a whole number from 1, not ${String(version)}`);
  }
  if (input !== undefined && !isStandardSchema(input)) {
    throw new WorkflowConfigurationError(`${where}: input must be a schema of a library that follows https://standardschema.dev`);
  }
  if (on !== undefined && input !== undefined)
    throw new WorkflowConfigurationError(`${where}: on and input cannot be combined: give the event a schema, which checks each payload`);
  if (typeof name === 'string' && name.startsWith(LISTENER_WORKFLOW_PREFIX))
    throw new WorkflowConfigurationError(
      `${where}: name must not start with "${LISTENER_WORKFLOW_PREFIX}", which is for durable listeners`,
    );
  if (compensation !== undefined && !COMPENSATION_ORDERS.includes(compensation))
    throw new WorkflowConfigurationError(`${where}: compensation must be 'serial' or 'parallel'`);
  if (queueKey !== undefined && typeof queueKey !== 'function')
    throw new WorkflowConfigurationError(`${where}: queueKey must be a function of the input`);
  const { scope } = options as { scope?: number };
  const checkedName = checkName(name, `${where}: name`);
  const checkedQueue = checkText(queue, `${where}: queue`);
  return {
    scope,
    name: checkedName,
    version,
    queue: checkedQueue,
    queueKey,
    retry,
    compensation,
    timeoutMs: timeout === undefined ? undefined : toMilliseconds(timeout, `${where}: timeout`),
    retention: retention === undefined ? undefined : retention === false ? 'keep' : checkRetention(retention, `${where}: retention`),
    batch: batch === undefined ? undefined : checkBatch(batch, `${where}: batch`),
    module: module === undefined ? undefined : checkText(module, `${where}: module`),
    input,
    subscriptions:
      on === undefined
        ? []
        : checkSubscriptions(
            on,
            { workflow: checkedName, queue: checkedQueue, needsClass: (queueKey ?? batch) !== undefined },
            `${where}: on`,
          ),
  };
}

function checkSubscriptions(
  given: NonNullable<WorkflowOptions['on']>,
  identity: Pick<EventSubscription, 'workflow' | 'queue' | 'needsClass'>,
  where: string,
): EventSubscription[] {
  const list: readonly unknown[] = Array.isArray(given) ? (given as readonly unknown[]) : [{ event: given }];
  if (list.length === 0) throw new InvalidInputError(where, 'must have at least one event');
  const subscriptions = list.map((each, index) => {
    const place = Array.isArray(given) ? `${where}[${index}]` : where;
    const { event, where: condition, id } = checkOptions(each as EventStart, place, ['event', 'where', 'id']);
    if (id !== undefined && checkText(id, `${place}.id`).length > MAX_SUBSCRIPTION_ID_LENGTH)
      throw new InvalidInputError(`${place}.id`, `must have at most ${MAX_SUBSCRIPTION_ID_LENGTH} characters`);
    return {
      event: checkEvent(event, Array.isArray(given) ? `${place}.event` : place).name,
      id: id ?? '',
      condition: checkCondition(condition, `${place}.where`) ?? '',
      ...identity,
    };
  });
  const keys = new Set(subscriptions.map(({ event, id }) => `${event}\n${id}`));
  if (keys.size < subscriptions.length) throw new InvalidInputError(where, 'names an event twice: give each subscription an id of its own');
  return subscriptions;
}

function read<Options extends WorkflowOptions>(options: Options, where: string): Options {
  try {
    return { ...options };
  } catch (cause) {
    throw new InvalidInputError(where, 'has options that cannot be read', { cause });
  }
}

/**
 * Returns the static `input` schema of a class, which may be inherited. Any other static `input` is
 * the application's own property and is ignored.
 */
function staticInputOf(target: Function): StandardSchema | undefined {
  const { input } = target as { input?: unknown };
  return isStandardSchema(input) ? input : undefined;
}

function placeOf(target: Function): string {
  return `@Workflow() on ${target.name}`;
}
