import { performance } from 'node:perf_hooks';

/**
 * Milliseconds without a free slot after which a warning names the workflows that hold the slots.
 */
const STUCK_MS = 30_000;

/**
 * Slots, which limit how many runs are executed at the same time. A run that only waits holds no
 * slot. When such a run continues, it takes a slot again, even if none is free.
 */
export class Slots {
  private taken = 0;
  /** Time at which a slot was last free, by performance.now(). */
  private roomAt = performance.now();

  constructor(readonly size: number) {}

  get free(): number {
    return Math.max(0, this.size - this.taken);
  }

  take(count = 1): void {
    this.taken += count;
  }

  release(count = 1): void {
    this.taken -= count;
    this.roomAt = performance.now();
  }

  /** Returns the seconds without a free slot when a warning is due, otherwise undefined. */
  stuckForSeconds(): number | undefined {
    const now = performance.now();
    if (this.free > 0) this.roomAt = now;
    const ms = now - this.roomAt;
    if (ms < STUCK_MS) return undefined;
    this.roomAt = now;
    return Math.round(ms / 1_000);
  }
}
