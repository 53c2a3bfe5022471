import type { RetryPolicy } from '../core/retry-policy.js';
import type { Arguments } from '../core/serializer/arguments.js';
import type { CompensatedStep } from '../core/compensation.js';
import type { OpenWait, StepKind } from '../core/step.js';
import type { WantedIsolation } from '../core/transactional.js';
import { noteRejection } from './rejections.js';
import type { Undo } from './undo.js';

/** Body of a step. Called once per attempt, with the arguments for that attempt. */
export type StepBody = (given: readonly unknown[]) => unknown;

/** Body of a step, with its retry policy, time limit and arguments. */
export interface StepSpec {
  readonly retry: RetryPolicy;
  /** Milliseconds that one attempt may take; null for no limit. */
  readonly timeoutMs: number | null;
  readonly body: StepBody;
  /** Arguments of the body; absent when it takes none. */
  readonly given?: Arguments | undefined;
  /** Isolation level of the body's transaction; absent for a step without a transaction. */
  readonly isolation?: WantedIsolation | undefined;
  /** Name of the limit that each attempt observes; absent without a limit. */
  readonly limit?: string | undefined;
  /** Step that the body undoes; absent unless the body is a compensation. */
  readonly compensates?: CompensatedStep;
}

const ignore = (): void => undefined;

/** Durable call that the workflow function has made. */
export class Call {
  /**
   * Promise that the caller awaits. Released when the call is settled: the call object lives until
   * the pass ends, and the promise may hold a large result.
   */
  promise: Promise<unknown> | undefined;
  settled = false;
  /** True when the result of the call was recorded in the transaction of its body. */
  isCommitted = false;
  /** Compensation of the call; undefined for a call that has none. */
  undo: Undo | undefined;
  /**
   * True when the caller no longer waits for the result. The result still counts, because it
   * decides whether the call is undone.
   */
  isDetached = false;
  /**
   * True when the call must end before the compensations begin: no attempt follows the current one.
   */
  isLastAttempt = false;
  /** True while an attempt is being executed. */
  isAttempting = false;
  /** True once the call has a result, which may still wait for its delivery. */
  hasResult = false;
  private begunAt: number | undefined;
  private failed = 0;
  private hasWait = false;
  /**
   * Channel of the messages for which the call waits; undefined when the call waits for no message.
   */
  channel: string | undefined;
  /** Wait for a child run that this pass has started; undefined for other calls. */
  childWait: OpenWait | undefined;
  /**
   * Called when the call is withdrawn. Undoes the effects of the call outside this run, such as a
   * child run, and closes the wait.
   */
  onWithdrawn: (() => void) | undefined;
  private fulfil: ((value: unknown) => void) | undefined;
  private refuse: ((error: unknown) => void) | undefined;

  constructor(
    readonly stepKey: string,
    /** Step key without the call's number or key: `charge` for `charge#2` and `charge:<key>`. */
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

  /** True while an attempt at the body may begin. */
  get mayBegin(): boolean {
    return !this.settled && !this.hasResult && (!this.isDetached || this.isLastAttempt);
  }

  /** True when the work of the call has begun, in this pass or in an earlier one. */
  get hasBegun(): boolean {
    return this.begunAt !== undefined;
  }

  /** Time at which the work of the call began, in milliseconds since the epoch; 0 before. */
  get startedAt(): number {
    return this.begunAt ?? 0;
  }

  /** Number of failed attempts. */
  get failures(): number {
    return this.failed;
  }

  /** True when the database has a row for this call's wait. */
  get waitRecorded(): boolean {
    return this.hasWait;
  }

  /**
   * Begins the work of the call, or continues work that an earlier pass began.
   *
   * @param recorded the wait that the earlier pass left open
   */
  begin(now: number, recorded: OpenWait | undefined): void {
    this.begunAt = recorded?.openedAt ?? Math.floor(now);
    if (!recorded) return;
    this.hasWait = true;
    if (recorded.kind === 'retry') this.failed = recorded.attempts;
  }

  /** Notes that the journal was given a row for this call's wait. */
  noteWait(): void {
    this.hasWait = true;
  }

  /** Counts a failed attempt. */
  noteFailure(): void {
    this.failed++;
  }

  resolve(value: unknown): void {
    const { fulfil } = this;
    this.settled = true;
    this.release();
    fulfil?.(value);
  }

  reject(error: unknown): void {
    this.settled = true;
    this.refuseCaller(error);
  }

  /** Rejects the promise of the caller, and keeps the call open for its result. */
  detach(error: unknown): void {
    this.isDetached = true;
    this.refuseCaller(error);
  }

  /** Ends the call without a result. Its promise never settles. */
  abandon(): void {
    this.settled = true;
    this.release();
  }

  private refuseCaller(error: unknown): void {
    const { promise, refuse } = this;
    this.release();
    // Handles the rejection, because a failed step that no code awaits must not end the process.
    // Code that awaits the step still gets the error.
    promise?.catch(ignore);
    noteRejection(error);
    refuse?.(error);
  }

  /**
   * Releases the promise and the two functions that settle it, because these functions hold the
   * promise too.
   */
  private release(): void {
    this.promise = undefined;
    this.fulfil = undefined;
    this.refuse = undefined;
  }
}
