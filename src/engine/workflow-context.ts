import type { Duration } from '../core/duration.js';
import type { RetryOptions } from '../core/retry-policy.js';

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
