import type { Abortable } from './pass-handle.js';

/** Bodies that a pass executes, and the AbortSignal of its workflow function. */
export class Attempts {
  private running: Set<Abortable> | undefined;
  /** Created when the signal is used, because most workflows never use it. */
  private controller: AbortController | undefined;
  /**
   * Creates the reason when it is needed. An error costs a stack trace, and most runs end with
   * nothing to abort.
   */
  private reason: (() => unknown) | undefined;

  get count(): number {
    return this.running?.size ?? 0;
  }

  /** True when the code has used the signal of the workflow function. */
  get isSignalUsed(): boolean {
    return this.controller !== undefined;
  }

  /** AbortSignal of the workflow function. */
  get signal(): AbortSignal {
    this.controller ??= new AbortController();
    if (this.reason && !this.controller.signal.aborted) this.controller.abort(this.reason());
    return this.controller.signal;
  }

  get all(): Iterable<Abortable> {
    return this.running ?? [];
  }

  add(attempt: Abortable): void {
    this.running ??= new Set();
    this.running.add(attempt);
  }

  delete(attempt: Abortable): void {
    this.running?.delete(attempt);
  }

  has(stepKey: string): boolean {
    for (const attempt of this.running ?? []) if (attempt.stepKey === stepKey) return true;
    return false;
  }

  /** Aborts the body of one step. */
  abortStep(stepKey: string, reason: unknown): void {
    for (const attempt of this.running ?? []) {
      if (attempt.stepKey !== stepKey) continue;
      this.running!.delete(attempt);
      attempt.abort(reason);
    }
  }

  /** Aborts all bodies. Bodies that are added later run. */
  abort(reason: () => unknown): void {
    this.reason = reason;
    if (!this.controller && this.count === 0) return;
    const made = reason();
    this.controller?.abort(made);
    const attempts = this.running ?? [];
    this.running = undefined;
    for (const attempt of attempts) attempt.abort(made);
  }
}
