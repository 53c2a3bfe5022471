import { performance } from 'node:perf_hooks';

import { clearTimeout, MAX_TIMER_MS, setTimeout } from './timers.js';

/** Call of a function at a time of a clock. */
export interface ClockAlarm {
  /** Does not call the function any more. */
  cancel(): void;
}

/**
 * Estimate of the database server's clock: the time that the server last sent, plus the time that a
 * local monotonic clock has counted since. The estimate does not depend on the wall clock of this
 * machine, which may be wrong or may be changed. A process reads the server's clock at boot, before
 * the first use of the estimate.
 */
export class DatabaseClock {
  private offset = Date.now() - performance.now();
  private uncertainty = Number.POSITIVE_INFINITY;
  private syncedAt = Number.NEGATIVE_INFINITY;

  /** Returns the estimated time of the server, in milliseconds since the epoch. */
  now(): number {
    return this.offset + performance.now();
  }

  /**
   * Calls `fire` once the clock has reached `wakeAt`, never before. The alarm does not keep the
   * process alive.
   *
   * @param wakeAt time in milliseconds since the epoch
   */
  at(wakeAt: number, fire: () => void): ClockAlarm {
    let timer: NodeJS.Timeout | undefined;
    const wait = (): void => {
      const leftMs = Math.ceil(wakeAt - this.now());
      if (leftMs <= 0 && timer) return fire();
      timer = setTimeout(wait, Math.min(Math.max(leftMs, 0), MAX_TIMER_MS)).unref();
    };
    wait();
    return { cancel: () => clearTimeout(timer) };
  }

  /**
   * Adjusts the estimate to a response that has just arrived. `serverNow` is the server's time in
   * the response. `sentAt` is the time when the request was sent, read from `performance.now()`.
   *
   * The server read its clock between the request and the response, most likely in the first half
   * of that time. The estimate assumes the middle, so the estimate is more likely behind the
   * server's clock than ahead of it.
   *
   * A response that is less accurate than the stored estimate is ignored. A response is more
   * accurate if its round trip was shorter. The stored estimate becomes less accurate with age,
   * because clocks drift. A response that contradicts the stored estimate always replaces it.
   */
  sync(serverNow: number, sentAt: number): void {
    const receivedAt = performance.now();
    const uncertainty = receivedAt - sentAt;
    const aged = this.uncertainty + (receivedAt - this.syncedAt) / 1_000;
    const offset = serverNow - (sentAt + receivedAt) / 2;
    // A contradiction means that this machine was suspended, or that another server responded. The
    // new response is then used, even if its round trip was longer.
    const contradicts = Math.abs(offset - this.offset) > (uncertainty + aged) / 2;
    if (uncertainty > aged && !contradicts) return;
    this.offset = offset;
    this.uncertainty = uncertainty;
    this.syncedAt = receivedAt;
  }
}
