import { randomUUID } from 'node:crypto';

import { toMilliseconds, toTimestamp, type Duration } from '../core/duration.js';
import { checkOptions } from '../core/check-options.js';
import { InvalidInputError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import { toRejection, callStep, ignoreUnhandled, NO_OPTIONS, splitCompensation } from './call-step.js';
import { executionScope } from './current.js';
import { SeededRandom } from './deterministic.js';
import type { PassHandle } from './pass-handle.js';
import { continueAsNew, invoke, invokeMany, startDetached } from './children.js';
import { createHook } from './hooks.js';
import type {
  ChildCompensation,
  CompensateOptions,
  EmitOptions,
  EventWaitOptions,
  StartChildOptions,
  Hook,
  HookOptions,
  InvokeManyOptions,
  InvokeOptions,
  RaceBranches,
  RaceResult,
  SignalOptions,
  StepOptions,
  WaitOptions,
} from './context-options.js';
import { race } from './race.js';
import type { RunLogger } from '../core/log-fields.js';
import type { RunSchedule } from '../core/schedules/schedule-types.js';
import type { WorkflowStream } from '../core/stream.js';
import { makeRunLogger } from './run-logger.js';
import { emit, waitForEvent } from './events.js';
import { waitForSignal } from './signals.js';
import { RunStream, StreamPositions } from './streams.js';
import { beginWait, type WaitSpec } from './wait.js';
import { WorkflowContext } from './workflow-context.js';

/** Context that `run` gets in one execution of the workflow function (a pass). */
export class PassContext extends WorkflowContext {
  // Private in JavaScript too, not only in TypeScript: a context that is logged or returned by
  // mistake must not include the pass.
  readonly #pass: PassHandle;
  #seeded: SeededRandom | undefined;
  #positions: StreamPositions | undefined;
  #logger: RunLogger | undefined;

  constructor(pass: PassHandle) {
    super();
    this.#pass = pass;
  }

  get runId(): string {
    return this.#pass.run.id;
  }

  get schedule(): RunSchedule | undefined {
    const { schedule } = this.#pass.run;
    return schedule ? { name: schedule.name, dueAt: new Date(schedule.dueAt) } : undefined;
  }

  get logger(): RunLogger {
    return (this.#logger ??= makeRunLogger(this.#pass));
  }

  get abortSignal(): AbortSignal {
    return this.#pass.abortSignal;
  }

  step<T>(
    name: string,
    optionsOrFn: (StepOptions & CompensateOptions<T>) | (() => Promise<T> | T),
    maybeFn?: () => Promise<T> | T,
  ): Promise<T> {
    const fn = typeof optionsOrFn === 'function' ? optionsOrFn : maybeFn;
    return toRejection(() => {
      if (typeof fn !== 'function') throw new InvalidInputError(`fn of step "${String(name)}"`, 'must be a function');
      if (typeof optionsOrFn === 'function') return callStep(this.#pass, name, NO_OPTIONS, undefined, fn) as Promise<T>;
      const { options, undo } = splitCompensation(name, optionsOrFn);
      return callStep(this.#pass, name, options, undefined, fn, undo) as Promise<T>;
    });
  }

  saga<T>(fn: () => Promise<T> | T): Promise<T> {
    return ignoreUnhandled(() => {
      if (typeof fn !== 'function') throw new InvalidInputError('fn of saga', 'must be a function');
      return this.#pass.saga(fn);
    });
  }

  sleep(duration: Duration, options: WaitOptions = {}): Promise<void> {
    return toRejection(() => {
      const ms = toMilliseconds(duration, 'duration of sleep');
      return this.wait(() => this.#pass.settings.now() + ms, options);
    });
  }

  sleepUntil(date: Date, options: WaitOptions = {}): Promise<void> {
    return toRejection(() => {
      const wakeAt = toTimestamp(date, 'date of sleepUntil');
      return this.wait(() => wakeAt, options);
    });
  }

  waitForSignal(signal: unknown, options?: SignalOptions): Promise<never> {
    return toRejection(() => waitForSignal(this.#pass, signal, options)) as Promise<never>;
  }

  waitForEvent(event: unknown, options?: EventWaitOptions<unknown>): Promise<never> {
    return toRejection(() => waitForEvent(this.#pass, event, options)) as Promise<never>;
  }

  emit(event: unknown, payload?: unknown, options?: EmitOptions): Promise<void> {
    return toRejection(() => emit(this.#pass, event, payload, options));
  }

  hook(options?: HookOptions): Promise<Hook<never>> {
    return ignoreUnhandled(() => createHook(this.#pass, options)) as Promise<Hook<never>>;
  }

  race<B extends RaceBranches>(branches: B): Promise<RaceResult<B>> {
    return ignoreUnhandled(() => race(this.#pass, branches));
  }

  invoke(workflow: unknown, input?: unknown, options?: InvokeOptions & ChildCompensation<never>): Promise<never> {
    return toRejection(() => invoke(this.#pass, workflow, input, options)) as Promise<never>;
  }

  invokeMany(workflow: unknown, inputs: readonly unknown[], options?: InvokeManyOptions & ChildCompensation<never>): Promise<never> {
    return ignoreUnhandled(() => invokeMany(this.#pass, workflow, inputs, options)) as Promise<never>;
  }

  start(workflow: unknown, input?: unknown, options?: StartChildOptions): Promise<{ runId: string }> {
    return toRejection(() => startDetached(this.#pass, workflow, input, options));
  }

  continueAsNew(workflow: unknown, input?: unknown): Promise<never> {
    return ignoreUnhandled(() => continueAsNew(this.#pass, workflow, input));
  }

  patched(id: string): boolean {
    return this.#pass.isPatched(id);
  }

  setState(key: string, value: unknown): void {
    this.#pass.setState(checkText(key, 'key'), value);
  }

  stream<T>(name?: string): WorkflowStream<T> {
    this.#positions ??= new StreamPositions(this.#pass.run.generation);
    return new RunStream<T>(this.#pass, this.#positions, name);
  }

  now(): Date {
    return new Date(this.#pass.logicalNow);
  }

  random(): number {
    return insideStep() ? Math.random() : this.sequence().number();
  }

  uuid(): string {
    return insideStep() ? randomUUID() : this.sequence().uuid();
  }

  private sequence(): SeededRandom {
    this.#seeded ??= new SeededRandom(this.#pass.run.seedId);
    return this.#seeded;
  }

  /** Begins a sleep. Computes the wake time once; a later pass reads the recorded time instead. */
  private wait(wakeAt: () => number, options: WaitOptions): Promise<void> {
    checkOptions(options, 'options', ['signal']);
    const pass = this.#pass;
    const spec: WaitSpec = { kind: 'sleep', name: null, wakeAt: () => Math.ceil(wakeAt()), expired: () => ({ attempts: 1 }) };
    return pass.call({
      kind: 'sleep',
      name: 'sleep',
      begin: (call) => beginWait(pass, call, spec),
      signal: options.signal,
    }) as Promise<void>;
  }
}

/**
 * Returns true while the body of a step is being executed. A replay executes no bodies, so random
 * numbers in a body must not come from the run's sequence.
 */
function insideStep(): boolean {
  return executionScope.getStore()?.step !== undefined;
}
