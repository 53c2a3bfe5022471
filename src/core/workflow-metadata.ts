import { isPlainObject } from './check-options.js';
import { toMilliseconds, type Duration } from './duration.js';
import { InvalidInputError, WorkflowConfigurationError, WorkflowNotFoundError } from './errors/index.js';
import { checkName, checkText } from './ids.js';
import type { RetryOptions } from './retry-policy.js';
import { MAX_VERSION } from './run.js';
import { isStandardSchema, type StandardSchema } from './standard-schema.js';

/** What `@Workflow` says of a class. */
export interface WorkflowOptions {
  /** Identifies the workflow, together with the version; keep it when the class is renamed. */
  name: string;
  /** Runs stay with the version that they began with. Default 1. */
  version?: number;
  /** The queue of runs that are started without naming one. Default `'default'`. */
  queue?: string;
  /** The retry policy of its steps, where they have none of their own. */
  retry?: RetryOptions;
  /**
   * How long a run may take from when it is first due, waits included. When it is over, open steps and waits reject with WorkflowTimeoutError, `catch` and
   * `finally` may still run steps for 30 seconds, and the run ends `failed`. Default: the module's `defaults.runTimeout`. A start may say otherwise.
   */
  timeout?: Duration;
  /** The name of the WorkflowModule whose worker executes it, and whose client starts it. Default: the module without a name. */
  module?: string;
  /**
   * A schema of zod, valibot or another library of https://standardschema.dev. A start of the class checks its input with it, and what the schema makes of the
   * input is stored and given to `run`. Its type must accept what `run` takes, because that is what `start` takes; where it does not, let it be `static readonly input
   * = schema` of the class (or of one that it extends), which also types the input of `start`.
   */
  input?: StandardSchema;
}

/** What is known of a workflow's class once its options have been checked. */
export interface WorkflowIdentity {
  readonly name: string;
  readonly version: number;
  readonly queue: string;
  readonly retry: RetryOptions | undefined;
  readonly timeoutMs: number | undefined;
  readonly module: string | undefined;
  /** The scope that the decorator gives, which the module knows how to read. */
  readonly scope: number | undefined;
  readonly input: StandardSchema | undefined;
}

/** The queue of everything that names none. */
export const DEFAULT_QUEUE = 'default';

/** The decorator checks `scope`. */
const OPTIONS = ['name', 'version', 'queue', 'retry', 'timeout', 'module', 'scope', 'input'];
const METADATA = Symbol.for('nestjs-durable.workflow');
const identities = new WeakMap<Function, WorkflowIdentity>();

/**
 * Keeps a copy of the options with the class, for `workflowIdentityOf` to check.
 *
 * @returns the copy
 * @throws WorkflowConfigurationError when the options are no object
 * @throws InvalidInputError when they cannot be read
 */
export function setWorkflowMetadata<Options extends WorkflowOptions>(target: Function, options: Options): Options {
  const where = placeOf(target);
  if (!isPlainObject(options)) throw new WorkflowConfigurationError(`${where}: the options must be an object with a name`);
  const copy = read(options, where);
  Object.defineProperty(target, METADATA, { value: copy, configurable: true });
  return copy;
}

/** Whether the class itself (not one that it extends) was decorated. */
export function hasWorkflowMetadata(target: unknown): target is Function {
  return typeof target === 'function' && Object.hasOwn(target, METADATA);
}

/**
 * What `@Workflow` says of the class, checked.
 *
 * @throws WorkflowNotFoundError when it has no `@Workflow`
 * @throws WorkflowConfigurationError, InvalidInputError when one of its options is not what it must be
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
  const { name, version = 1, queue = DEFAULT_QUEUE, retry, timeout, module, input = staticInputOf(target) } = options;
  if (!Number.isInteger(version) || version < 1 || version > MAX_VERSION) {
    throw new WorkflowConfigurationError(`${where}: version must be a whole number from 1, not ${String(version)}`);
  }
  if (input !== undefined && !isStandardSchema(input)) {
    throw new WorkflowConfigurationError(`${where}: input must be a schema of a library that follows https://standardschema.dev`);
  }
  const { scope } = options as { scope?: number };
  return {
    scope,
    name: checkName(name, `${where}: name`),
    version,
    queue: checkText(queue, `${where}: queue`),
    retry,
    timeoutMs: timeout === undefined ? undefined : toMilliseconds(timeout, `${where}: timeout`),
    module: module === undefined ? undefined : checkText(module, `${where}: module`),
    input,
  };
}

function read<Options extends WorkflowOptions>(options: Options, where: string): Options {
  try {
    return { ...options };
  } catch (cause) {
    throw new InvalidInputError(where, 'has options that cannot be read', { cause });
  }
}

/** Inherited like any static property. One of that name that is no schema is the class's own business. */
function staticInputOf(target: Function): StandardSchema | undefined {
  const { input } = target as { input?: unknown };
  return isStandardSchema(input) ? input : undefined;
}

function placeOf(target: Function): string {
  return `@Workflow() on ${target.name}`;
}
