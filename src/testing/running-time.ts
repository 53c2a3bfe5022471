import { performance } from 'node:perf_hooks';

/** Most milliseconds that count between two reads of the time. */
const MAX_GAP_MS = 50;

/**
 * Measures how long this process has been running. A machine that stands still for seconds adds
 * almost nothing, so a test does not give up on code that had no time to work. The caller reads the
 * time often.
 */
export class RunningTime {
  private elapsed = 0;
  private readAt = performance.now();

  /** Returns the milliseconds that the process has run since the object was created. */
  now(): number {
    const now = performance.now();
    this.elapsed += Math.min(now - this.readAt, MAX_GAP_MS);
    this.readAt = now;
    return this.elapsed;
  }
}
