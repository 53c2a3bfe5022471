import { AsyncLocalStorage } from 'node:async_hooks';

import { outside } from '../core/outside.js';
import { WorkflowError } from '../core/errors/index.js';
import type { PassHandle } from './pass-handle.js';

/** Facts about the step whose body is executed. */
export interface CurrentStep {
  readonly runId: string;
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
}

/**
 * Position of the code that is executed: in the workflow function of a pass, or in the body of a
 * step.
 */
export interface Scope {
  readonly pass: PassHandle;
  readonly step: CurrentStep | undefined;
  /**
   * AbortSignal of the surrounding branch of a race. It withdraws calls that are made in the
   * branch.
   */
  readonly signal?: AbortSignal;
}

/**
 * Key of the storage that all copies of the package in a process share (ESM beside CommonJS).
 * Without sharing, steps of a second copy would not find their run: they would be plain methods,
 * and recorded nowhere.
 */
const SCOPES = Symbol.for('nestjs-durable.scopes');
const shared = globalThis as typeof globalThis & { [SCOPES]?: AsyncLocalStorage<Scope> };

/**
 * Scope of the current code. It finds the pass of a call whatever the object it is made on:
 * self-calls, factories and a bare `new` alike.
 */
export const executionScope = (shared[SCOPES] ??= new AsyncLocalStorage<Scope>());

const runInScope = <A, T>(scope: Scope, code: (given: A) => T, given: A): T => executionScope.run(scope, code, given);

/**
 * Executes code of the application for a pass, isolated from the current asynchronous context. Runs
 * begin, and steps are tried, in the context of a flush or a claim. Most often that is the context
 * of a request that started another run, with its user, its trace and its open transaction.
 */
export function inScope<T>(scope: Scope, code: () => T): T;
export function inScope<A, T>(scope: Scope, code: (given: A) => T, given: A): T;
export function inScope<A, T>(scope: Scope, code: (given: A | undefined) => T, given?: A): T {
  return outside(runInScope<A | undefined, T>, scope, code, given);
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

/** Position of the code that calls `currentRun()`. */
export interface CurrentRun {
  readonly runId: string;
  /** Name of the workflow. */
  readonly workflow: string;
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
