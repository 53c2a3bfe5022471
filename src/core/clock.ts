import { performance } from 'node:perf_hooks';

/**
 * The database's clock, estimated in this process: the time of the server's last response plus the
 * time that a monotonic clock has counted since. The clocks of the machines do not matter, and a
 * change of the local wall clock does no harm. A process reads the server's clock before anything
 * else.
 */
export class DatabaseClock {
  private offset = Date.now() - performance.now();
  private uncertainty = Number.POSITIVE_INFINITY;
  private syncedAt = Number.NEGATIVE_INFINITY;

  /** Milliseconds since the epoch. */
  now(): number {
    return this.offset + performance.now();
  }

  /**
   * Adjusts the clock to a response that is being read now and says `serverNow`. The request was
   * sent at `sentAt`, by `performance.now()`.
   *
   * The server read its clock somewhere between the two moments, most likely in the first half. The
   * middle is taken, so the estimate is rather late than early. A shorter round trip makes a better
   * reading. A reading loses its value with age, because clocks drift, and entirely when a newer
   * reading contradicts it.
   */
  sync(serverNow: number, sentAt: number): void {
    const receivedAt = performance.now();
    const uncertainty = receivedAt - sentAt;
    const aged = this.uncertainty + (receivedAt - this.syncedAt) / 1_000;
    const offset = serverNow - (sentAt + receivedAt) / 2;
    // The readings contradict each other: the machine was suspended, or another server responded.
    // The newer reading is used.
    const contradicts = Math.abs(offset - this.offset) > (uncertainty + aged) / 2;
    if (uncertainty > aged && !contradicts) return;
    this.offset = offset;
    this.uncertainty = uncertainty;
    this.syncedAt = receivedAt;
  }
}
