import { Injectable, Scope } from '@nestjs/common';

import type { CompensateOn } from '../../core/compensation.js';
import type { ElementOfBatch } from '../../core/batch.js';
import { checkOptions } from '../../core/check-options.js';
import { toMilliseconds } from '../../core/duration.js';
import type { EventDefinition, EventOf } from '../../core/event.js';
import { InvalidInputError, WorkflowConfigurationError } from '../../core/errors/index.js';
import { checkText } from '../../core/ids.js';
import { escapeStepText } from '../../core/step-key-format.js';
import { DEFAULT_RETRY_POLICY, toRetryPolicy } from '../../core/retry-policy.js';
import type { StandardSchema } from '../../core/standard-schema.js';
import { toIsolation } from '../../core/transactional.js';
import type { WorkflowClass } from '../../core/workflow-types.js';
import { setWorkflowMetadata, type EventStart, type WorkflowOptions as EngineWorkflowOptions } from '../../core/workflow-metadata.js';
import { checkCompensation } from '../../engine/undo-options.js';
import { checkCompensationMethod, type CompensationFits } from './step-compensation.js';
import { declaredAt, type StepMethodOptions } from './step-declarations.js';
import { makeStep } from './step-method.js';
import { GENERATORS, putStepOnTop } from './step-overrides.js';
import { injectableOptionsOf } from './injectable-options.js';
import { checkModuleName } from '../tokens.js';

/** Options of `@Workflow`. */
export interface WorkflowOptions extends EngineWorkflowOptions {
  /**
   * Scope of the workflow. With `Scope.REQUEST`, each execution of `run` has an instance of its
   * own, with its own request-scoped dependencies. (default: `Scope.DEFAULT`, one instance for all
   * runs)
   */
  scope?: Scope.DEFAULT | Scope.REQUEST;
}

/**
 * Resolves to `unknown` when two conditions hold. `run` accepts the output of the schema. The
 * schema accepts the argument of `start`, which has the type of `run`'s input. Otherwise resolves
 * to a text that the compiler shows as the error.
 */
type SchemaFits<C, Input, Output> = unknown extends Output
  ? unknown
  : C extends new (...args: never[]) => { run: (...args: infer A) => Promise<unknown> }
    ? A extends []
      ? unknown
      : [Output] extends [ElementOfBatch<A[0]>]
        ? [ElementOfBatch<A[0]>] extends [Input]
          ? unknown
          : 'the schema accepts another type than run: declare it as static readonly input of the class, so that it types start'
        : 'run does not accept the output of the schema'
    : unknown;

/** Resolves to the value that a workflow receives from an event, or from one of several events. */
type EventInput<On> =
  On extends EventDefinition<unknown, never> ? EventOf<On> : On extends readonly EventStart[] ? EventOf<On[number]['event']> : never;

/**
 * Resolves to `unknown` when `run` accepts the payloads of all events, as elements of a batch where
 * `run` takes a batch. Otherwise resolves to a text that the compiler shows as the error.
 */
type EventFits<C, On> = C extends new (...args: never[]) => { run: (...args: infer A) => Promise<unknown> }
  ? A extends []
    ? unknown
    : [EventInput<On>] extends [ElementOfBatch<A[0]>]
      ? unknown
      : 'run does not accept the payload of the event'
  : unknown;

const SCOPES: readonly Scope[] = [Scope.DEFAULT, Scope.REQUEST];

/**
 * Turns an injectable class into a workflow, whose `run(input, ctx)` is executed durably. List the
 * class among the `providers` of a module.
 *
 * `run` is executed again from the top whenever the run continues elsewhere. The decisions of `run`
 * may therefore depend only on its input, on results of steps and on `ctx`. Everything else that
 * reads or changes the outside world belongs in a step.
 *
 * @param options name of the workflow, and further options of its runs
 * @throws WorkflowConfigurationError when the class cannot be a workflow
 * @throws InvalidInputError naming an option that is invalid
 * @example
 * @Workflow({ name: 'order', version: 1 })
 * export class OrderWorkflow {
 *   async run(order: Order, ctx: WorkflowContext): Promise<Receipt> { ... }
 * }
 */
export function Workflow<Input, Output>(
  options: WorkflowOptions & { input: StandardSchema<Input, Output> },
): <C extends WorkflowClass>(target: C & SchemaFits<C, Input, Output>) => void;
export function Workflow<On extends NonNullable<WorkflowOptions['on']>>(
  options: WorkflowOptions & { on: On },
): <C extends WorkflowClass>(target: C & EventFits<C, On>) => void;
export function Workflow(options: WorkflowOptions): <C extends WorkflowClass>(target: C) => void;
export function Workflow(options: WorkflowOptions): (target: Function) => void {
  return (target) => {
    const { module, scope } = setWorkflowMetadata(target, options);
    if (module !== undefined) checkModuleName(module, `@Workflow() on ${target.name}: module`);
    refuseGenerator(target);
    if (scope === undefined) return;
    if (!SCOPES.includes(scope))
      throw new WorkflowConfigurationError(`@Workflow() on ${target.name}: scope must be Scope.DEFAULT or Scope.REQUEST`);
    setScope(target, scope);
    // A plain @Injectable() above this decorator is applied after it and removes the scope. Set the
    // scope again once the class is defined.
    void Promise.resolve().then(() => setScope(target, scope));
  };
}

/**
 * Refuses a generator function as `run`. A generator object cannot be recorded as a result, so a
 * run would fail at its end, after all work is done.
 */
function refuseGenerator(target: Function): void {
  const run = (target.prototype as { run?: unknown } | undefined)?.run;
  if (typeof run === 'function' && GENERATORS.has(run.constructor.name))
    throw new WorkflowConfigurationError(
      `@Workflow() on ${target.name}: run is a generator, whose result cannot be recorded; return a promise`,
    );
}

/**
 * Sets the scope, unless `@Injectable` has set one. If the scopes of the two decorators differ, the
 * boot fails.
 */
function setScope(target: Function, scope: Scope): void {
  const given = injectableOptionsOf(target);
  if (given?.scope === undefined) Injectable({ ...given, scope })(target);
}

/**
 * Resolves to `unknown` when the key function accepts the arguments of the method. The key function
 * may have fewer parameters than the method, with wider types. Otherwise resolves to a text that
 * the compiler shows as the error.
 */
type KeyFits<M extends (...args: never[]) => unknown, Key extends unknown[]> = ((...args: Key) => string) extends (
  ...args: Parameters<M>
) => string
  ? unknown
  : 'the key function takes arguments that the method does not have';

/**
 * Turns a method of any injectable into a step. Called from a workflow's `run`, the step is
 * executed once and its result recorded; a replay returns the recorded result. Outside a run, and
 * inside another step, the method is a plain method.
 *
 * Other decorators of the method may stand above or below this one. The code of these decorators
 * surrounds the body in each attempt. An override in a subclass is a step with the same options,
 * unless it has a `@Step()` of its own.
 *
 * @param options name, key, retry policy, time limit, transaction and compensation of the step
 *   (default: see each option)
 * @throws StepFailedError (at the call) when all attempts have failed; its `cause` is the last
 *   error
 * @throws WorkflowConfigurationError, InvalidInputError (when the class is loaded) when the method
 *   cannot be a step, or an option is invalid
 * @example
 * @Step({ retry: { maxAttempts: 8 }, timeout: '30s' })
 * async charge(order: Order): Promise<Charge> {
 *   return this.payments.charge(order, currentStep().idempotencyKey);
 * }
 */
export function Step<Key extends unknown[] = [], const Compensation extends string = never, On extends CompensateOn = 'completed'>(
  options: StepMethodOptions<Key, Compensation, On> = {},
) {
  return <T extends object, M extends (...args: never[]) => Promise<unknown>>(
    target: T,
    property: string | symbol,
    descriptor: TypedPropertyDescriptor<M> & KeyFits<M, Key> & CompensationFits<T, M, Compensation, On>,
  ): void => {
    const original: unknown = descriptor?.value;
    const place: object = target;
    const owner = typeof place === 'function' ? place.name : place.constructor.name;
    const method = String(property);
    const where = `@Step() on ${owner}.${method}`;
    if (typeof original !== 'function' || typeof target === 'function')
      throw new WorkflowConfigurationError(`${where}: only methods of instances can be steps`);
    if (GENERATORS.has(original.constructor.name))
      throw new WorkflowConfigurationError(`${where}: a generator cannot be a step; return a promise`);
    const checked = checkStep(options, where) as StepMethodOptions<unknown[]>;
    if (checked.compensate !== undefined) checkCompensationMethod(target, checked.compensate, where);
    descriptor.value = makeStep(target, method, original as never, checked) as unknown as M;
    // Decorators above this one are applied after it. Put the step around them once the class is
    // defined.
    void Promise.resolve().then(() => putStepOnTop(target, declaredAt(target).get(method)!));
  };
}

/**
 * Checks the options of a step when its class is loaded, so that a mistake appears before the step
 * is called.
 */
function checkStep<Key extends unknown[]>(given: StepMethodOptions<Key>, where: string): StepMethodOptions<Key> {
  const options = checkOptions(given, where, ['name', 'key', 'retry', 'timeout', 'transactional', 'limit', 'compensate', 'compensateOn']);
  const { compensate } = options;
  if (compensate !== undefined && typeof compensate !== 'string')
    throw new InvalidInputError(`${where}.compensate`, 'must be the name of a method of the class');
  checkCompensation(options, where);
  if (options.name !== undefined) escapeStepText(options.name, `${where}.name`);
  if (options.key !== undefined && typeof options.key !== 'function') throw new InvalidInputError(`${where}.key`, 'must be a function');
  toRetryPolicy(options.retry, DEFAULT_RETRY_POLICY, `${where}.retry`);
  if (options.timeout !== undefined) toMilliseconds(options.timeout, `${where}.timeout`);
  toIsolation(options.transactional, `${where}.transactional`);
  if (options.limit !== undefined) checkText(options.limit, `${where}.limit`);
  return options;
}
