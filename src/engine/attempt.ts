import { ManualAlarm } from '../core/manual-clock.js';
import { clearTimeout, MAX_TIMER_MS, setTimeout } from '../core/timers.js';
import type { AttemptSpan } from '../core/tracing.js';
import type { CompensatedStep } from '../core/compensation.js';
import { StepTimeoutError } from '../core/errors/index.js';
import type { WorkflowStream } from '../core/stream.js';
import type { StepBody } from './call.js';
import { inScope, type CurrentStep } from './current.js';
import type { PassHandle } from './pass-handle.js';
import { StepStream } from './streams.js';

let begun: Attempt | undefined;

/**
 * Returns the step whose body began last, even if the body has ended. Undefined when no body has
 * begun since the previous call of this function.
 */
export function lastBegunBody(): CurrentStep | undefined {
  const last = begun;
  begun = undefined;
  return last;
}

/** Receives the result of an attempt at a step's body. */
export interface AttemptDelegate {
  succeeded(value: unknown): void;
  failed(error: unknown): void;
}

/** One attempt at a step's body. Creates its AbortController only when the body uses the signal. */
export class Attempt implements CurrentStep {
  private controller: AbortController | undefined;
  private isAborted = false;
  private reason: unknown;
  private timer: NodeJS.Timeout | ManualAlarm | undefined;
  private listener: AttemptDelegate | undefined;
  /** EntityManager of the body's transaction; undefined outside a transactional body. */
  manager: object | undefined;
  private isCommitting = false;
  /** Timeout or abort that came while the transaction committed. */
  private deferred: (() => void) | undefined;
  /** Undefined while tracing is off. */
  private span: AttemptSpan | undefined;
  private hasStreams = false;
  /** Place and slot of a limit, which the attempt gives back when it is over. */
  permit: { release(): void } | undefined;

  constructor(
    private readonly pass: PassHandle,
    readonly runId: string,
    readonly stepKey: string,
    readonly attempt: number,
    /** The step's name, without its key. */
    private readonly name: string,
    readonly compensates: CompensatedStep | undefined,
  ) {}

  get idempotencyKey(): string {
    return `${this.runId}:${this.stepKey}`;
  }

  get abortSignal(): AbortSignal {
    if (!this.controller) {
      this.controller = new AbortController();
      if (this.isAborted) this.controller.abort(this.reason);
    }
    return this.controller.signal;
  }

  stream<T>(name?: string): WorkflowStream<T> {
    this.hasStreams = true;
    return new StepStream<T>(this.pass, this, name);
  }

  /** True when the attempt has ended, or was aborted. */
  get isOver(): boolean {
    return this.listener === undefined;
  }

  /**
   * Executes the body. Notifies the listener once, when the body ends or its timeout has passed;
   * never after an abort.
   */
  run(body: StepBody, given: readonly unknown[] | undefined, timeoutMs: number | null, listener: AttemptDelegate): void {
    this.listener = listener;
    noteBegun(this);
    if (timeoutMs !== null) this.timer = this.startTimer(timeoutMs);
    // Calls the body without an async function around it, which would create two more promises per
    // step.
    let result: unknown;
    try {
      this.span = this.pass.span?.attempt(this.name, this.stepKey, this.attempt);
      const scope = { pass: this.pass, step: this, span: this.span };
      result = given ? inScope(scope, body, given) : inScope(scope, body as () => unknown);
    } catch (error) {
      result = Promise.reject(error);
    }
    Promise.resolve(result).then(
      (value: unknown) =>
        this.whenChecked(() => {
          const waiting = this.end();
          if (!waiting) return;
          this.span?.succeeded();
          waiting.succeeded(value);
        }),
      (error: unknown) =>
        this.whenChecked(() => {
          const waiting = this.end();
          if (!waiting) return;
          this.span?.failed(error);
          waiting.failed(error);
        }),
    );
  }

  private startTimer(timeoutMs: number): NodeJS.Timeout | ManualAlarm {
    const { manualClock } = this.pass.settings;
    if (manualClock) return manualClock.at(manualClock.now() + timeoutMs, () => this.expire(timeoutMs));
    return setTimeout(expire, Math.min(timeoutMs, MAX_TIMER_MS), this, timeoutMs);
  }

  /**
   * Begins the commit of the body's transaction. Until `commitFailed`, neither a timeout nor an
   * abort ends the attempt.
   *
   * @throws the reason for the end, when the attempt has ended
   */
  beginCommit(): void {
    if (this.isOver) throw this.reason;
    this.isCommitting = true;
  }

  /** Notes that the transaction had no effect. Applies a timeout or an abort that was deferred. */
  commitFailed(): void {
    this.isCommitting = false;
    const { deferred } = this;
    this.deferred = undefined;
    deferred?.();
  }

  /** Fails the attempt because its timeout has passed. */
  expire(timeoutMs: number): void {
    if (this.isCommitting) return void (this.deferred ??= () => this.expire(timeoutMs));
    const { listener } = this;
    const error = new StepTimeoutError(this.stepKey, timeoutMs);
    if (listener) this.span?.failed(error);
    this.abort(error);
    listener?.failed(error);
  }

  /** Aborts the body's signal and ignores the result of the body. */
  abort(reason: unknown): void {
    if (this.isCommitting) return void (this.deferred = () => this.abort(reason));
    if (!this.end()) return;
    this.span?.aborted();
    this.signal(reason);
  }

  /** Aborts the body's signal. The result of the body still counts. */
  signal(reason: unknown): void {
    if (this.isAborted) return;
    this.isAborted = true;
    this.reason = reason;
    this.controller?.abort(reason);
  }

  /** Calls `next` once each chunk that the body wrote without `await` was accepted or refused. */
  private whenChecked(next: () => void): void {
    const unchecked = this.hasStreams ? this.pass.effects.streams.unchecked() : undefined;
    if (unchecked) void unchecked.then(next);
    else next();
  }

  /** Ends the attempt. @returns the listener; undefined when the attempt had ended before */
  private end(): AttemptDelegate | undefined {
    const { listener } = this;
    this.listener = undefined;
    this.permit?.release();
    this.permit = undefined;
    if (this.timer instanceof ManualAlarm) this.timer.cancel();
    else clearTimeout(this.timer);
    return listener;
  }
}

function noteBegun(attempt: Attempt): void {
  begun = attempt;
}

/**
 * Callback that all timeout timers share. A closure for each timer would be the largest part of an
 * attempt's memory.
 */
function expire(attempt: Attempt, timeoutMs: number): void {
  attempt.expire(timeoutMs);
}
