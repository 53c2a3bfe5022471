import { Injectable, Scope } from '@nestjs/common';

import { checkOptions } from '../core/check-options.js';
import { toMilliseconds } from '../core/duration.js';
import { InvalidInputError, WorkflowConfigurationError } from '../core/errors/index.js';
import { escapeStepText } from '../core/step-key-text.js';
import { DEFAULT_RETRY_POLICY, toRetryPolicy } from '../core/retry-policy.js';
import type { StandardSchema } from '../core/standard-schema.js';
import type { WorkflowClass } from '../core/workflow-types.js';
import { setWorkflowMetadata, type WorkflowOptions as EngineWorkflowOptions } from '../core/workflow-metadata.js';
import { declaredAt, type StepMethodOptions } from './step-declarations.js';
import { makeStep } from './step-method.js';
import { GENERATORS, putStepOnTop } from './step-overrides.js';
import { injectableOptionsOf } from './injectable-options.js';
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
): <C extends WorkflowClass>(target: C & SchemaFits<C, Input, Output>) => void;
export function Workflow(options: WorkflowOptions): <C extends WorkflowClass>(target: C) => void;
export function Workflow(options: WorkflowOptions): (target: Function) => void {
  return (target) => {
    const { module, scope } = setWorkflowMetadata(target, options);
    if (module !== undefined) checkModuleName(module, `@Workflow() on ${target.name}: module`);
    refuseGenerator(target);
    if (scope === undefined) return;
    if (!SCOPES.includes(scope))
      throw new WorkflowConfigurationError(`@Workflow() on ${target.name}: scope must be Scope.DEFAULT or Scope.REQUEST`);
    giveScope(target, scope);
    // A plain @Injectable() above comes later, and would take the scope away.
    void Promise.resolve().then(() => giveScope(target, scope));
  };
}

/** What a generator returns cannot be recorded: runs would fail at their end, when everything is done. */
function refuseGenerator(target: Function): void {
  const run = (target.prototype as { run?: unknown } | undefined)?.run;
  if (typeof run === 'function' && GENERATORS.has(run.constructor.name))
    throw new WorkflowConfigurationError(
      `@Workflow() on ${target.name}: run is a generator, whose result cannot be recorded; return a promise`,
    );
}

/** Leaves a scope alone that `@Injectable` gives: the boot refuses two that differ. */
function giveScope(target: Function, scope: Scope): void {
  const given = injectableOptionsOf(target);
  if (given?.scope === undefined) Injectable({ ...given, scope })(target);
}

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
 * Other decorators of the method may stand above or below it: what they do surrounds the body, in each attempt. An override in a
 * subclass is a step with the same options, unless it has a `@Step()` of its own.
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
    const original: unknown = descriptor?.value;
    const owner = typeof target === 'function' ? target.name : target.constructor.name;
    const method = String(property);
    const where = `@Step() on ${owner}.${method}`;
    if (typeof original !== 'function' || typeof target === 'function')
      throw new WorkflowConfigurationError(`${where}: only methods of instances can be steps`);
    if (GENERATORS.has(original.constructor.name))
      throw new WorkflowConfigurationError(`${where}: a generator cannot be a step; return a promise`);
    const checked = checkStep(options, where) as StepMethodOptions<unknown[]>;
    descriptor.value = makeStep(target, method, original as never, checked) as unknown as M;
    // The decorators above this one come next.
    void Promise.resolve().then(() => putStepOnTop(target, declaredAt(target).get(method)!));
  };
}

/** Checks the options when the class is loaded, and not only when the step is called. */
function checkStep<Key extends unknown[]>(given: StepMethodOptions<Key>, where: string): StepMethodOptions<Key> {
  const options = checkOptions(given, where, ['name', 'key', 'retry', 'timeout']);
  if (options.name !== undefined) escapeStepText(options.name, `${where}.name`);
  if (options.key !== undefined && typeof options.key !== 'function') throw new InvalidInputError(`${where}.key`, 'must be a function');
  toRetryPolicy(options.retry, DEFAULT_RETRY_POLICY, `${where}.retry`);
  if (options.timeout !== undefined) toMilliseconds(options.timeout, `${where}.timeout`);
  return options;
}
