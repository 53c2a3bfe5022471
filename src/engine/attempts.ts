import type { Abortable } from './pass-handle.js';

/**
 * Treatment of a body that is interrupted: `abort` drops its result, `signal` aborts its signal and
 * keeps the result, `leave` does nothing.
 */
export type Treatment = 'abort' | 'signal' | 'leave';

/**
 * Step bodies that one execution of the workflow function (a pass) is running, and the AbortSignal
 * of that function.
 */
export class Attempts {
  /** Holds a single body without a Set, because most runs execute one body at a time. */
  private running: Abortable | Set<Abortable> | undefined;
  /** Absent until the code uses the signal, because most workflows never use it. */
  private controller: AbortController | undefined;
  /**
   * Creates the reason for an abort; undefined until `abort` is called. Called only when needed: an
   * error costs a stack trace, and most runs end with nothing to abort.
   */
  private reason: (() => unknown) | undefined;

  get count(): number {
    if (this.running instanceof Set) return this.running.size;
    return this.running ? 1 : 0;
  }

  /** True when the workflow's code has used its AbortSignal. */
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
    if (this.running instanceof Set) return this.running;
    return this.running ? [this.running] : [];
  }

  add(attempt: Abortable): void {
    if (this.running instanceof Set) this.running.add(attempt);
    else this.running = this.running ? new Set([this.running, attempt]) : attempt;
  }

  delete(attempt: Abortable): void {
    if (this.running instanceof Set) this.running.delete(attempt);
    else if (this.running === attempt) this.running = undefined;
  }

  has(stepKey: string): boolean {
    for (const attempt of this.all) if (attempt.stepKey === stepKey) return true;
    return false;
  }

  /** Aborts the body of one step. */
  abortStep(stepKey: string, reason: unknown): void {
    for (const attempt of this.all) {
      if (attempt.stepKey !== stepKey) continue;
      this.delete(attempt);
      attempt.abort(reason);
    }
  }

  /** Aborts the AbortSignal that one step's body uses. The result of the body still counts. */
  signalStep(stepKey: string, reason: unknown): void {
    for (const attempt of this.all) if (attempt.stepKey === stepKey) attempt.signal(reason);
  }

  /**
   * Aborts the AbortSignal of the workflow function and the bodies that are executed now. Bodies
   * that are added later are not aborted.
   *
   * @param treatmentOf returns the treatment of a step's body (default: all are aborted)
   */
  abort(reason: () => unknown, treatmentOf?: (stepKey: string) => Treatment): void {
    this.reason = reason;
    if (!this.controller && this.count === 0) return;
    const made = reason();
    this.controller?.abort(made);
    const attempts = this.all;
    this.running = undefined;
    for (const attempt of attempts) {
      const treatment = treatmentOf?.(attempt.stepKey) ?? 'abort';
      if (treatment === 'abort') attempt.abort(made);
      else this.add(attempt);
      if (treatment === 'signal') attempt.signal(made);
    }
  }
}
