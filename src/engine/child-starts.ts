import type { ActivityDelegate, ChildStartsObserver } from './pass-handle.js';

/**
 * Counts the children of a pass whose start has no outcome yet: their input is being checked, or
 * the start is not durable. The pass is not idle meanwhile, because a refused start settles its
 * call. If the pass were suspended before, the run would wait for ever.
 */
export class ChildStarts implements ChildStartsObserver {
  private count = 0;

  constructor(private readonly parts: { readonly activity: ActivityDelegate }) {}

  get areActive(): boolean {
    return this.count > 0;
  }

  began(): void {
    this.count++;
  }

  ended(): void {
    this.count--;
    this.parts.activity.update();
  }
}
