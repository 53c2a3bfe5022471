import type { RetryPolicy } from '../core/retry-policy.js';
import type { Arguments } from '../core/serializer/arguments.js';
import type { StepKind } from '../core/step.js';
import { noteRejection } from './rejections.js';

/** The body of a step. It gets the arguments of one attempt. */
export type StepBody = (given: readonly unknown[]) => unknown;

/** How a step's body is to be tried. */
export interface StepSpec {
  readonly retry: RetryPolicy;
  /** Limit of one attempt in milliseconds; null for none. */
  readonly timeoutMs: number | null;
  readonly body: StepBody;
  /** Absent where the body takes nothing. */
  readonly given?: Arguments | undefined;
}

const ignore = (): void => undefined;

/** A durable operation that the workflow function has called and that has not been settled. */
export class Call {
  /** Let go of when the call is settled: the call lives as long as its pass, and the result may be large. */
  promise: Promise<unknown> | undefined;
  settled = false;
  /** How many attempts have failed so far. */
  failures = 0;
  /** Whether the database has a row that says it waits. */
  waitRecorded = false;
  startedAt = 0;
  /** The messages that end it. */
  channel: string | undefined;
  /** Undoes what the wait set off elsewhere when it is given up, and closes it: a child run that goes on. */
  onWithdrawn: (() => void) | undefined;
  private fulfil: ((value: unknown) => void) | undefined;
  private refuse: ((error: unknown) => void) | undefined;

  constructor(
    readonly stepKey: string,
    /** The key without the number or key of this call. */
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
    // A step that nobody awaits must not end the process when it fails; whoever does await it hears of it all the same.
    promise?.catch(ignore);
    noteRejection(error);
    refuse?.(error);
  }

  /** The functions that settle a promise keep it, too. */
  private release(): void {
    this.settled = true;
    this.promise = undefined;
    this.fulfil = undefined;
    this.refuse = undefined;
  }
}
