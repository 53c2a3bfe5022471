import { AsyncLocalStorage } from 'node:async_hooks';

import type { CompensatedStep } from '../core/compensation.js';
import { outside } from '../core/outside.js';
import type { TraceScope } from '../core/tracing.js';
import { WorkflowError } from '../core/errors/index.js';
import type { WorkflowStream } from '../core/stream.js';
import type { PassHandle } from './pass-handle.js';
import type { Saga } from './saga.js';

/** Facts about the step whose body is being executed. */
export interface CurrentStep {
  /** Id of the run. */
  readonly runId: string;
  /** Key of the step. */
  readonly stepKey: string;
  /** Number of this attempt, from 1. */
  readonly attempt: number;
  /**
   * Key that is the same for every attempt of this step, also after a crash. Pass it to the systems
   * that the body calls, so that they can detect a repeated request.
   */
  readonly idempotencyKey: string;
  /**
   * AbortSignal that is aborted when the attempt times out, the run is cancelled or ends, or the
   * worker loses the run.
   */
  readonly abortSignal: AbortSignal;
  /**
   * The step that the body undoes, with its idempotency key; undefined unless the body is a
   * compensation.
   */
  readonly compensates?: CompensatedStep | undefined;
  /**
   * Opens a stream of the run. Readers get the chunks while the body works. When the step is tried
   * again, the chunks of the earlier attempt no longer count.
   *
   * @param name name of the stream (default: `'default'`)
   * @throws InvalidInputError when the name is invalid
   * @example
   * const out = currentStep().stream<string>('answer');
   * for await (const token of answer) await out.write(token);
   */
  stream<T = unknown>(name?: string): WorkflowStream<T>;
}

/**
 * Place of the code that is being executed: the workflow function of a run, or the body of a step.
 */
export interface Scope {
  readonly pass: PassHandle;
  readonly step: CurrentStep | undefined;
  /**
   * AbortSignal of the race branch that is being executed; absent outside races. Its abort
   * withdraws the calls made in the branch.
   */
  readonly signal?: AbortSignal | undefined;
  /** The innermost `ctx.saga` in which the code is executed; absent outside sagas. */
  readonly saga?: Saga | undefined;
  /** Span in which the code is executed; absent while tracing is off. */
  readonly span?: TraceScope | undefined;
}

/**
 * Key of the storage that all copies of the package in one process share, such as an ESM and a
 * CommonJS copy. Without a shared storage, a step declared with another copy would find no run. It
 * would be executed as a plain method, without a record.
 */
const SCOPES = Symbol.for('nestjs-durable.scopes');
const shared = globalThis as typeof globalThis & { [SCOPES]?: AsyncLocalStorage<Scope> };

/**
 * Scope of the current code. Finds the run of a step call, whatever object the step is called on:
 * `this`, or an object from a factory or a bare `new`.
 */
export const executionScope = (shared[SCOPES] ??= new AsyncLocalStorage<Scope>());

const runInScope = <A, T>(scope: Scope, code: (given: A) => T, given: A): T => executionScope.run(scope, code, given);

const runInSpan = <A, T>(span: TraceScope, scope: Scope, code: (given: A) => T, given: A): T =>
  span.within(runInScope<A, T>, scope, code, given);

/**
 * Executes the application's code for a pass, outside the current asynchronous context. Otherwise
 * runs and steps would begin in the context of a flush or a claim. Most often that is the context
 * of a request that started another run, with its user, trace and open transaction.
 */
export function inScope<T>(scope: Scope, code: () => T): T;
export function inScope<A, T>(scope: Scope, code: (given: A) => T, given: A): T;
export function inScope<A, T>(scope: Scope, code: (given: A | undefined) => T, given?: A): T {
  const { span } = scope;
  return span ? outside(runInSpan<A | undefined, T>, span, scope, code, given) : outside(runInScope<A | undefined, T>, scope, code, given);
}

/** Thrown by `currentStep()` outside the body of a step. */
export class NotInStepError extends WorkflowError {
  static override readonly errorName: string = 'NotInStepError';
  readonly code = 'NOT_IN_STEP';
}

/**
 * Returns the step whose body is being executed.
 *
 * @throws NotInStepError outside a step's body
 * @example await this.payments.charge(order, currentStep().idempotencyKey);
 */
export function currentStep(): CurrentStep {
  const step = executionScope.getStore()?.step;
  if (!step) throw new NotInStepError('currentStep() works only while the body of a step is executed by a run');
  return step;
}

/** Run, workflow and step of the code that calls `currentRun()`. */
export interface CurrentRun {
  /** Id of the run. */
  readonly runId: string;
  /** Name of the workflow. */
  readonly workflow: string;
  /** Version of the workflow. */
  readonly version: number;
  /** Key of the step whose body is executed; undefined outside a body. */
  readonly stepKey: string | undefined;
  /** Number of the attempt, from 1; undefined outside a body. */
  readonly attempt: number | undefined;
}

/**
 * Returns the run whose code is being executed, in `run` or in the body of a step; undefined
 * elsewhere. Useful for loggers that add ids to each line.
 *
 * @example LoggerModule.forRoot({ pinoHttp: { mixin: () => ({ ...currentRun() }) } })
 */
export function currentRun(): CurrentRun | undefined {
  const scope = executionScope.getStore();
  if (!scope) return undefined;
  const { pass, step } = scope;
  const { name, version } = pass.definition;
  return { runId: pass.run.id, workflow: name, version, stepKey: step?.stepKey, attempt: step?.attempt };
}
