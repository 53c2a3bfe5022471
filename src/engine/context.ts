import { toMilliseconds, toTimestamp, type Duration } from '../core/duration.js';
import { InvalidInputError } from '../core/errors/index.js';
import { toRetryPolicy, type RetryOptions } from '../core/retry-policy.js';
import type { Call } from './call.js';
import { SeededRandom } from './deterministic.js';
import { fingerprint } from './fingerprint.js';
import type { Pass } from './pass.js';
import { beginStep } from './step-runner.js';

/** How a step is identified and tried. */
export interface StepOptions {
  /** Tells calls of the same name apart: `charge:<key>`. Needed where calls of one name are made in parallel branches that also do I/O. */
  key?: string;
  retry?: RetryOptions;
  /** Limit of one attempt. Default 5 minutes. */
  timeout?: Duration;
}

/** What a workflow's `run` gets as its second argument: everything that is recorded, and nothing that differs between passes. */
export abstract class WorkflowContext {
  /** The id of the run. */
  abstract readonly runId: string;

  /** Aborted when the run is cancelled or ends, or this worker loses it. */
  abstract readonly abortSignal: AbortSignal;

  /**
   * Executes `fn` once and records its result; when the run continues elsewhere, the recorded result is returned instead.
   *
   * @throws StepFailedError when all attempts have failed; its `cause` is the last error
   * @throws NestedStepError inside another step
   * @example const rate = await ctx.step('exchange rate', () => this.rates.today('EUR'));
   */
  abstract step<T>(name: string, fn: () => Promise<T> | T): Promise<T>;
  abstract step<T>(name: string, options: StepOptions, fn: () => Promise<T> | T): Promise<T>;

  /**
   * Waits, for milliseconds or for months. Survives restarts, and holds neither a connection nor a slot for longer than a moment.
   *
   * @example await ctx.sleep('3 days');
   */
  abstract sleep(duration: Duration): Promise<void>;

  /** Waits until a moment. One that has passed already is over at once. */
  abstract sleepUntil(date: Date): Promise<void>;

  /** The time of the last recorded result, or of the start: the same in every pass, unlike `new Date()`. */
  abstract now(): Date;

  /** A number from 0 up to but not including 1, the same in every pass. Not for secrets. */
  abstract random(): number;

  /** A version-4 UUID, the same in every pass. Not for secrets. */
  abstract uuid(): string;
}

/** The context of one pass. */
export class PassContext extends WorkflowContext {
  private readonly pass: Pass;
  private seeded: SeededRandom | undefined;

  constructor(pass: Pass) {
    super();
    this.pass = pass;
    // A context that is logged or returned by mistake must not drag the pass along.
    Object.defineProperty(this, 'pass', { enumerable: false });
  }

  get runId(): string {
    return this.pass.run.id;
  }

  get abortSignal(): AbortSignal {
    return this.pass.abortSignal;
  }

  step<T>(name: string, optionsOrFn: StepOptions | (() => Promise<T> | T), maybeFn?: () => Promise<T> | T): Promise<T> {
    const options = typeof optionsOrFn === 'function' ? {} : optionsOrFn;
    const fn = typeof optionsOrFn === 'function' ? optionsOrFn : maybeFn;
    return attempted(() => {
      if (typeof fn !== 'function') throw new InvalidInputError(`fn of step "${String(name)}"`, 'must be a function');
      return callStep(this.pass, name, options, undefined, fn) as Promise<T>;
    });
  }

  sleep(duration: Duration): Promise<void> {
    return attempted(() => {
      const ms = toMilliseconds(duration, 'duration of sleep');
      return this.wait(() => this.pass.settings.now() + ms);
    });
  }

  sleepUntil(date: Date): Promise<void> {
    return attempted(() => {
      const wakeAt = toTimestamp(date, 'date of sleepUntil');
      return this.wait(() => wakeAt);
    });
  }

  now(): Date {
    return new Date(this.pass.logicalNow);
  }

  random(): number {
    this.seeded ??= new SeededRandom(this.runId);
    return this.seeded.number();
  }

  uuid(): string {
    this.seeded ??= new SeededRandom(this.runId);
    return this.seeded.uuid();
  }

  /** The wake time is computed once: a later pass finds it recorded. */
  private wait(wakeAt: () => number): Promise<void> {
    const begin = (call: Call): void => {
      if (call.settled) return;
      const recorded = this.pass.recordedWait(call.stepKey);
      call.startedAt = Math.floor(this.pass.settings.now());
      const due = recorded?.wakeAt ?? Math.ceil(wakeAt());
      if (recorded) call.waitRecorded = true;
      else this.pass.openWait(call, { stepKey: call.stepKey, kind: 'sleep', wakeAt: due, attempts: 0 }, null);
      this.pass.timers.set(call.stepKey, due, () => this.pass.settle(call, { attempts: 1 }));
    };
    return this.pass.call('sleep', 'sleep', undefined, null, begin) as Promise<void>;
  }
}

/** Calls a step of the pass: what `ctx.step` and methods with `@Step` have in common. */
export function callStep(
  pass: Pass,
  name: string,
  options: StepOptions,
  args: readonly unknown[] | undefined,
  body: () => unknown,
): Promise<unknown> {
  const { definition } = pass;
  if (typeof options !== 'object' || options === null) throw new InvalidInputError(`options of step "${name}"`, 'must be an object');
  const spec = {
    retry: toRetryPolicy(options.retry, definition.retry, `retry of step "${name}"`),
    timeoutMs: options.timeout === undefined ? definition.stepTimeoutMs : toMilliseconds(options.timeout, `timeout of step "${name}"`),
    body,
  };
  return pass.call('step', name, options.key, args === undefined ? null : fingerprint(args), (call) => beginStep(pass, call, spec));
}

/** Bad arguments reject the promise that the caller awaits, as an async function would. */
function attempted<T>(start: () => Promise<T>): Promise<T> {
  try {
    return start();
  } catch (error) {
    return Promise.reject(error);
  }
}
