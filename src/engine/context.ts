import { randomUUID } from 'node:crypto';

import { toMilliseconds, toTimestamp, type Duration } from '../core/duration.js';
import { InvalidInputError } from '../core/errors/index.js';
import type { Call } from './call.js';
import { attempted, callStep, NO_OPTIONS } from './call-step.js';
import { scopes } from './current.js';
import { SeededRandom } from './deterministic.js';
import type { PassHandle } from './pass-handle.js';
import { WorkflowContext, type StepOptions } from './workflow-context.js';

/** The context of one pass. */
export class PassContext extends WorkflowContext {
  // Private by the language: a context that is logged or returned by mistake must not drag the pass along.
  readonly #pass: PassHandle;
  #seeded: SeededRandom | undefined;

  constructor(pass: PassHandle) {
    super();
    this.#pass = pass;
  }

  get runId(): string {
    return this.#pass.run.id;
  }

  get abortSignal(): AbortSignal {
    return this.#pass.abortSignal;
  }

  step<T>(name: string, optionsOrFn: StepOptions | (() => Promise<T> | T), maybeFn?: () => Promise<T> | T): Promise<T> {
    const options = typeof optionsOrFn === 'function' ? NO_OPTIONS : optionsOrFn;
    const fn = typeof optionsOrFn === 'function' ? optionsOrFn : maybeFn;
    return attempted(() => {
      if (typeof fn !== 'function') throw new InvalidInputError(`fn of step "${String(name)}"`, 'must be a function');
      return callStep(this.#pass, name, options, undefined, fn) as Promise<T>;
    });
  }

  sleep(duration: Duration): Promise<void> {
    return attempted(() => {
      const ms = toMilliseconds(duration, 'duration of sleep');
      return this.wait(() => this.#pass.settings.now() + ms);
    });
  }

  sleepUntil(date: Date): Promise<void> {
    return attempted(() => {
      const wakeAt = toTimestamp(date, 'date of sleepUntil');
      return this.wait(() => wakeAt);
    });
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
    this.#seeded ??= new SeededRandom(this.runId);
    return this.#seeded;
  }

  /** The wake time is computed once: a later pass finds it recorded. */
  private wait(wakeAt: () => number): Promise<void> {
    const pass = this.#pass;
    const begin = (call: Call): void => {
      const recorded = pass.recordedWait(call.stepKey);
      call.startedAt = recorded?.openedAt ?? Math.floor(pass.settings.now());
      const due = recorded?.wakeAt ?? Math.ceil(wakeAt());
      pass.whenDurable(() => {
        if (call.settled || pass.isClosed) return;
        if (recorded) call.waitRecorded = true;
        else
          pass.openWait(
            call,
            { stepKey: call.stepKey, kind: 'sleep', wakeAt: due, attempts: 0, openedAt: call.startedAt },
            null,
            () => undefined,
          );
        pass.timers.set(call.stepKey, due, () => pass.settle(call, { attempts: 1 }));
      });
    };
    return pass.call('sleep', 'sleep', undefined, null, begin) as Promise<void>;
  }
}

/** A body is not executed again on replay: what it draws must not shift the sequence of the run. */
function insideStep(): boolean {
  return scopes.getStore()?.step !== undefined;
}
