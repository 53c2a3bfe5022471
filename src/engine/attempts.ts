import type { Abortable } from './pass-handle.js';

/** The bodies that a pass has under way, and the signals that tell them and the workflow function to stop. */
export class Attempts {
  private running: Set<Abortable> | undefined;
  /** Made when somebody looks at the signal: most workflows never do. */
  private controller: AbortController | undefined;
  /** Called when it is wanted: an error costs a stack trace, and most runs end with nobody to tell. */
  private reason: (() => unknown) | undefined;

  get count(): number {
    return this.running?.size ?? 0;
  }

  /** Whether anybody has asked for the workflow function's own signal. */
  get isSignalUsed(): boolean {
    return this.controller !== undefined;
  }

  /** The workflow function's own signal. */
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

  /** Tells the body of one step to stop. */
  abortStep(stepKey: string, reason: unknown): void {
    for (const attempt of this.running ?? []) {
      if (attempt.stepKey !== stepKey) continue;
      this.running!.delete(attempt);
      attempt.abort(reason);
    }
  }

  /** Tells everything under way to stop; what is added later runs. */
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
