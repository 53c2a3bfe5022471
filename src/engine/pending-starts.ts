import type { ActivityDelegate, StartsObserver } from './pass-handle.js';

/**
 * Counts the runs that a pass starts and whose start has no outcome yet: a child or a continuation
 * whose input is being checked, or a child whose start is not durable. The pass is not idle
 * meanwhile. If the pass were suspended, the start would not happen before another wait ends, and
 * the refusal of a child would reach nobody.
 */
export class PendingStarts implements StartsObserver {
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
