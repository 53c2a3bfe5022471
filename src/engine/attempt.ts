import { StepTimeoutError } from '../core/errors/index.js';
import { scopes, type CurrentStep } from './current.js';
import type { PassHandle } from './pass-handle.js';

/** setTimeout turns longer delays into 1 ms. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** One try of a step's body. Makes its AbortController only when somebody looks at the signal. */
export class Attempt implements CurrentStep {
  private controller: AbortController | undefined;
  private isAborted = false;
  private reason: unknown;
  private timer: NodeJS.Timeout | undefined;
  private over = false;

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

  /** Executes the body; exactly one of the two is called, once, unless the attempt is aborted first. */
  run(body: () => unknown, timeoutMs: number | null, done: (value: unknown) => void, failed: (error: unknown) => void): void {
    if (timeoutMs !== null) {
      this.timer = setTimeout(
        () => {
          if (this.over) return;
          const error = new StepTimeoutError(this.stepKey, timeoutMs);
          this.abort(error);
          failed(error);
        },
        Math.min(timeoutMs, LONGEST_TIMER_MS),
      );
    }
    const finish =
      <T>(next: (value: T) => void) =>
      (value: T) => {
        if (this.over) return;
        this.end();
        next(value);
      };
    scopes.run({ pass: this.pass, step: this }, async () => body()).then(finish(done), finish(failed));
  }

  /** Tells the body to stop and stops listening to it. */
  abort(reason: unknown): void {
    if (this.over) return;
    this.end();
    this.isAborted = true;
    this.reason = reason;
    this.controller?.abort(reason);
  }

  private end(): void {
    this.over = true;
    clearTimeout(this.timer);
  }
}
