import { Injectable, Scope } from '@nestjs/common';

import { checkOptions } from '../core/check-options.js';
import { toMilliseconds } from '../core/duration.js';
import { InvalidInputError, WorkflowConfigurationError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import { isPromise } from '../core/promises.js';
import { DEFAULT_RETRY_POLICY, toRetryPolicy } from '../core/retry-policy.js';
import type { StandardSchema } from '../core/standard-schema.js';
import { setWorkflowMetadata, type WorkflowOptions as EngineWorkflowOptions } from '../core/workflow-metadata.js';
import { attempted, callStep } from '../engine/call-step.js';
import { scopes } from '../engine/current.js';
import type { StepOptions } from '../engine/operations.js';
import { noteStep } from './decorated-steps.js';
import { checkModuleName } from './tokens.js';

/** What `@Workflow` says of a class. */
export interface WorkflowOptions extends EngineWorkflowOptions {
  /** `Scope.REQUEST`: an instance for each pass, with its own request-scoped dependencies. Default: one instance for all runs. */
  scope?: Scope.DEFAULT | Scope.REQUEST;
}

/** `unknown` when `run` takes what the schema gives, and the schema what `start` takes, which is the same as `run`. */
type SchemaFits<C, Input, Output> = unknown extends Output
  ? unknown
  : C extends new (...args: never[]) => { run: (...args: infer A) => Promise<unknown> }
    ? A extends []
      ? unknown
      : [Output] extends [A[0]]
        ? [A[0]] extends [Input]
          ? unknown
          : 'the schema takes another type than run: as static readonly input of the class it types start'
        : 'run does not take what the schema gives'
    : unknown;

const SCOPES: readonly Scope[] = [Scope.DEFAULT, Scope.REQUEST];

/**
 * Makes an injectable class a workflow: its `run(input, ctx)` is executed durably. List it among a module's `providers`.
 *
 * `run` is executed again from the top whenever the run continues elsewhere, so it decides by its input, by results of steps and by `ctx` alone; all
 * that touches the world is a step.
 *
 * @example
 * @Workflow({ name: 'order', version: 1 })
 * export class OrderWorkflow {
 *   async run(order: Order, ctx: WorkflowContext): Promise<Receipt> { ... }
 * }
 */
export function Workflow<Input, Output>(
  options: WorkflowOptions & { input: StandardSchema<Input, Output> },
): <C extends Function>(target: C & SchemaFits<C, Input, Output>) => void;
export function Workflow(options: WorkflowOptions): ClassDecorator;
export function Workflow(options: WorkflowOptions): ClassDecorator {
  return (target) => {
    const { module, scope } = setWorkflowMetadata(target, options);
    if (module !== undefined) checkModuleName(module, `@Workflow() on ${target.name}: module`);
    if (scope === undefined) return;
    if (!SCOPES.includes(scope))
      throw new WorkflowConfigurationError(`@Workflow() on ${target.name}: scope must be Scope.DEFAULT or Scope.REQUEST`);
    Injectable({ scope })(target);
  };
}

/** How a method that is a step is identified and tried. */
export interface StepMethodOptions<Key extends unknown[]> extends Omit<StepOptions, 'key'> {
  /** The step's name. Default: the method's, with the class before it when the method is not the workflow's own (`PaymentService.charge`). */
  name?: string;
  /** Tells calls of the same name apart, from the arguments: `charge:<key>`. */
  key?: (...args: Key) => string;
}

type StepMethod<Key extends unknown[]> = (...args: [...Key, ...never[]]) => Promise<unknown>;

/** `unknown` when the key can be called with the method's arguments: it may want fewer of them, and less of each. */
type KeyFits<M extends (...args: never[]) => unknown, Key extends unknown[]> = ((...args: Key) => string) extends (
  ...args: Parameters<M>
) => string
  ? unknown
  : 'the key takes arguments that the method does not have';

/**
 * Makes a method of any injectable a step: called from a workflow's `run`, it is executed once and its result recorded; when the run continues
 * elsewhere the recorded result is returned. Outside a run, and inside another step, it is a plain method.
 *
 * @throws (the call) StepFailedError when all attempts have failed; its `cause` is the last error
 * @example
 * @Step({ retry: { maxAttempts: 8 }, timeout: '30s' })
 * async charge(order: Order): Promise<Charge> {
 *   return this.payments.charge(order, currentStep().idempotencyKey);
 * }
 */
export function Step<Key extends unknown[] = []>(options: StepMethodOptions<Key> = {}) {
  return <M extends (...args: never[]) => Promise<unknown>>(
    target: object,
    property: string | symbol,
    descriptor: TypedPropertyDescriptor<M> & KeyFits<M, Key>,
  ): void => {
    const original = descriptor?.value as StepMethod<Key> | undefined;
    const owner = typeof target === 'function' ? target.name : target.constructor.name;
    const where = `@Step() on ${owner}.${String(property)}`;
    if (typeof original !== 'function' || typeof target === 'function')
      throw new WorkflowConfigurationError(`${where}: only methods of instances can be steps`);
    if (GENERATORS.has(original.constructor.name))
      throw new WorkflowConfigurationError(`${where}: a generator cannot be a step; return a promise`);
    const checked = checkStep(options, where);
    noteStep(target, String(property));
    descriptor.value = stepOf(original, String(property), checked) as unknown as M;
  };
}

const GENERATORS = new Set(['GeneratorFunction', 'AsyncGeneratorFunction']);

/** Here, and not only when the step is called: a misspelt option is known as soon as the class is loaded. */
function checkStep<Key extends unknown[]>(given: StepMethodOptions<Key>, where: string): StepMethodOptions<Key> {
  const options = checkOptions(given, where, ['name', 'key', 'retry', 'timeout']);
  if (options.name !== undefined) checkText(options.name, `${where}.name`);
  if (options.key !== undefined && typeof options.key !== 'function') throw new InvalidInputError(`${where}.key`, 'must be a function');
  toRetryPolicy(options.retry, DEFAULT_RETRY_POLICY, `${where}.retry`);
  if (options.timeout !== undefined) toMilliseconds(options.timeout, `${where}.timeout`);
  return options;
}

function keyOf<Key extends unknown[]>(key: (...args: Key) => string, args: Key, argument: string): string {
  const text = key(...args);
  if (isPromise(text)) throw new InvalidInputError(argument, 'must be given at once: its function returned a promise');
  return checkText(text, argument);
}

function stepOf<Key extends unknown[]>(original: StepMethod<Key>, method: string, options: StepMethodOptions<Key>): StepMethod<Key> {
  const { name, key, retry, timeout } = options;
  const step = function (this: object, ...args: [...Key, ...never[]]): Promise<unknown> {
    const scope = scopes.getStore();
    if (!scope) return original.apply(this, args);
    const { pass } = scope;
    if (scope.step) {
      pass.code?.surroundings?.began(scope.step);
      return original.apply(this, args);
    }
    return attempted(() => {
      const stepName = name ?? (pass.definition.owns(this) ? method : `${this.constructor.name}.${method}`);
      const stepOptions = {
        ...(key === undefined ? {} : { key: keyOf(key, args as unknown as Key, `key of step "${stepName}"`) }),
        ...(retry === undefined ? {} : { retry }),
        ...(timeout === undefined ? {} : { timeout }),
      };
      const body = (): Promise<unknown> => {
        const surroundings = pass.code?.surroundings;
        // Around the decorated method: it has the metadata, and is a plain method while a step is executed.
        return surroundings ? surroundings.execute(this, step, method, args) : original.apply(this, args);
      };
      return callStep(pass, stepName, stepOptions, args, body);
    });
  };
  Object.defineProperty(step, 'name', { value: original.name });
  for (const metadataKey of Reflect.getMetadataKeys(original) as unknown[]) {
    Reflect.defineMetadata(metadataKey, Reflect.getMetadata(metadataKey, original), step);
  }
  return step;
}
