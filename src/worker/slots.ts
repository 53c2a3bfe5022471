import { performance } from 'node:perf_hooks';

/** After so long without a free slot it is said who holds them. */
const STUCK_MS = 30_000;

/** How many runs are executed at a time. Runs that only wait hold no slot, and may take one back when they go on, even where none is free. */
export class Slots {
  private taken = 0;
  /** When there was last a free slot, of performance.now(). */
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

  /** For how many seconds there has been no free slot, if it is time to say so (again). */
  stuckForSeconds(): number | undefined {
    const now = performance.now();
    if (this.free > 0) this.roomAt = now;
    const ms = now - this.roomAt;
    if (ms < STUCK_MS) return undefined;
    this.roomAt = now;
    return Math.round(ms / 1_000);
  }
}
