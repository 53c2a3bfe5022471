import { clearTimeout, MAX_TIMER_MS, setTimeout } from '../core/timers.js';
import { StepTimeoutError } from '../core/errors/index.js';
import type { StepBody } from './call.js';
import { inScope, type CurrentStep } from './current.js';
import type { PassHandle } from './pass-handle.js';

let begun: Attempt | undefined;

/** The body that began last since this was asked before, whatever became of it. */
export function lastBegunBody(): CurrentStep | undefined {
  const last = begun;
  begun = undefined;
  return last;
}

/** Who wants to know what became of an attempt. */
export interface AttemptDelegate {
  succeeded(value: unknown): void;
  failed(error: unknown): void;
}

/** One try of a step's body. Makes its AbortController only when somebody looks at the signal. */
export class Attempt implements CurrentStep {
  private controller: AbortController | undefined;
  private isAborted = false;
  private reason: unknown;
  private timer: NodeJS.Timeout | undefined;
  private listener: AttemptDelegate | undefined;

  constructor(
    private readonly pass: PassHandle,
    readonly runId: string,
    readonly stepKey: string,
    readonly attempt: number,
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

  /** Executes the body; the listener hears of its end once, and never when the attempt is aborted first. */
  run(body: StepBody, given: readonly unknown[] | undefined, timeoutMs: number | null, listener: AttemptDelegate): void {
    this.listener = listener;
    noteBegun(this);
    if (timeoutMs !== null) this.timer = setTimeout(expire, Math.min(timeoutMs, MAX_TIMER_MS), this, timeoutMs);
    // An async function around the body would make two more promises, of which there is one a step already.
    let result: unknown;
    try {
      const scope = { pass: this.pass, step: this };
      result = given ? inScope(scope, body, given) : inScope(scope, body as () => unknown);
    } catch (error) {
      result = Promise.reject(error);
    }
    Promise.resolve(result).then(
      (value: unknown) => this.end()?.succeeded(value),
      (error: unknown) => this.end()?.failed(error),
    );
  }

  /** The time of the attempt is over. */
  expire(timeoutMs: number): void {
    const { listener } = this;
    const error = new StepTimeoutError(this.stepKey, timeoutMs);
    this.abort(error);
    listener?.failed(error);
  }

  /** Tells the body to stop and stops listening to it. */
  abort(reason: unknown): void {
    if (!this.end()) return;
    this.isAborted = true;
    this.reason = reason;
    this.controller?.abort(reason);
  }

  /** @returns who is to hear of it; nobody when it has ended before */
  private end(): AttemptDelegate | undefined {
    const { listener } = this;
    this.listener = undefined;
    clearTimeout(this.timer);
    return listener;
  }
}

function noteBegun(attempt: Attempt): void {
  begun = attempt;
}

/** One function for all timers: a closure for each step's would be the largest part of the attempt. */
function expire(attempt: Attempt, timeoutMs: number): void {
  attempt.expire(timeoutMs);
}
