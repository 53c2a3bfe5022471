import { AsyncLocalStorage } from 'node:async_hooks';

import { outside } from '../core/outside.js';
import { WorkflowError } from '../core/errors/index.js';
import type { PassHandle } from './pass-handle.js';

/** What a step's body may know about itself. */
export interface CurrentStep {
  readonly runId: string;
  readonly stepKey: string;
  /** Which try of the body this is, from 1. */
  readonly attempt: number;
  /**
   * The same for every attempt of this step, also after a crash: hand it to the systems that the body calls, so that they notice a
   * repetition.
   */
  readonly idempotencyKey: string;
  /** Aborted when the attempt times out, the run is cancelled or ends, or the worker loses the run. */
  readonly abortSignal: AbortSignal;
}

/** Where the code is: in the workflow function of a pass, or in the body of one of its steps. */
export interface Scope {
  readonly pass: PassHandle;
  readonly step: CurrentStep | undefined;
  /** Of the branch of a race: withdraws what is called in it. */
  readonly signal?: AbortSignal;
}

/** One for the process, so that steps of a second copy of the package (ESM beside CommonJS) find their run: without it they would be plain methods, recorded nowhere. */
const SCOPES = Symbol.for('nestjs-durable.scopes');
const shared = globalThis as typeof globalThis & { [SCOPES]?: AsyncLocalStorage<Scope> };

/** Finds the pass that a call belongs to, whatever the object it is made on: self-calls, factories and a bare `new` alike. */
export const executionScope = (shared[SCOPES] ??= new AsyncLocalStorage<Scope>());

const runInScope = <A, T>(scope: Scope, code: (given: A) => T, given: A): T => executionScope.run(scope, code, given);

/**
 * Executes code of the application for a pass, in no other context. Runs begin, and steps are tried, in whatever context a flush ended or a claim was
 * asked for: most often that of a request which started another run, with its user, its trace and its open transaction.
 */
export function inScope<T>(scope: Scope, code: () => T): T;
export function inScope<A, T>(scope: Scope, code: (given: A) => T, given: A): T;
export function inScope<A, T>(scope: Scope, code: (given: A | undefined) => T, given?: A): T {
  return outside(runInScope<A | undefined, T>, scope, code, given);
}

/** `currentStep()` was called where no step's body is being executed. */
export class NotInStepError extends WorkflowError {
  static override readonly errorName: string = 'NotInStepError';
  readonly code = 'NOT_IN_STEP';
}

/**
 * The step whose body is being executed.
 *
 * @throws NotInStepError outside a step's body
 * @example await this.payments.charge(order, currentStep().idempotencyKey);
 */
export function currentStep(): CurrentStep {
  const step = executionScope.getStore()?.step;
  if (!step) throw new NotInStepError('currentStep() works only while the body of a step is executed by a run');
  return step;
}

/** Where the code is that calls `currentRun()`. */
export interface CurrentRun {
  readonly runId: string;
  /** The name of the workflow. */
  readonly workflow: string;
  readonly version: number;
  /** Inside the body of a step: its key. */
  readonly stepKey: string | undefined;
  /** Inside the body of a step: which try of the body this is, from 1. */
  readonly attempt: number | undefined;
}

/**
 * The run whose code is being executed, in `run` or in the body of a step; undefined elsewhere. For loggers that add ids to each line.
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
