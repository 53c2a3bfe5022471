import type { RetryPolicy } from '../core/retry-policy.js';
import type { Arguments } from '../core/serializer/arguments.js';
import type { StepKind } from '../core/step.js';
import { noteRejection } from './rejections.js';

/** Body of a step. It gets the arguments of one attempt. */
export type StepBody = (given: readonly unknown[]) => unknown;

/** Body of a step and how it is tried. */
export interface StepSpec {
  readonly retry: RetryPolicy;
  /** Time limit of one attempt in milliseconds; null for none. */
  readonly timeoutMs: number | null;
  readonly body: StepBody;
  /** Arguments of the body; absent when it takes none. */
  readonly given?: Arguments | undefined;
}

const ignore = (): void => undefined;

/** Durable call that the workflow function has made. */
export class Call {
  /**
   * Promise of the caller. Released when the call is settled: the call lives as long as its pass,
   * and the result may be large.
   */
  promise: Promise<unknown> | undefined;
  settled = false;
  /** Number of failed attempts. */
  failures = 0;
  /** True when the database has a row for the wait of this call. */
  waitRecorded = false;
  startedAt = 0;
  /** Channel of the messages that end the call. */
  channel: string | undefined;
  /**
   * Called when the call is withdrawn. Undoes effects of the wait elsewhere, such as a child run
   * that continues, and closes the wait.
   */
  onWithdrawn: (() => void) | undefined;
  private fulfil: ((value: unknown) => void) | undefined;
  private refuse: ((error: unknown) => void) | undefined;

  constructor(
    readonly stepKey: string,
    /** Step key without the number or the key of this call. */
    readonly name: string,
    readonly kind: StepKind,
    readonly calledAfter: number,
    readonly calledAfterIo: boolean,
    readonly argsHash: number | null,
  ) {
    this.promise = new Promise((resolve, reject) => {
      this.fulfil = resolve;
      this.refuse = reject;
    });
  }

  resolve(value: unknown): void {
    const { fulfil } = this;
    this.release();
    fulfil?.(value);
  }

  reject(error: unknown): void {
    const { promise, refuse } = this;
    this.release();
    // A failed step that no code awaits must not end the process. Code that awaits the step still
    // gets the error.
    promise?.catch(ignore);
    noteRejection(error);
    refuse?.(error);
  }

  /** Releases the promise. The functions that settle a promise hold it too. */
  private release(): void {
    this.settled = true;
    this.promise = undefined;
    this.fulfil = undefined;
    this.refuse = undefined;
  }
}
