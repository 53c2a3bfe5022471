import { performance } from 'node:perf_hooks';

/**
 * The database's clock, read in this process: what the server said last plus what a monotonic clock has counted since. The
 * clocks of the machines do not matter, and a step of the local wall clock does no harm. A process asks for it before it does anything else.
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
   * Learns from an answer that said `serverNow`, asked for at `sentAt` and read now (both of performance.now()). The server read its clock
   * somewhere between, most likely in the first half: taking the middle, we are rather late than early. The shorter the round trip, the better the
   * reading; an older reading loses its worth as clocks drift, and all of it when a new one contradicts it.
   */
  sync(serverNow: number, sentAt: number): void {
    const receivedAt = performance.now();
    const uncertainty = receivedAt - sentAt;
    const aged = this.uncertainty + (receivedAt - this.syncedAt) / 1_000;
    const offset = serverNow - (sentAt + receivedAt) / 2;
    // Readings that exclude each other: the machine was suspended, or another server answers. The later one holds.
    const isNews = Math.abs(offset - this.offset) > (uncertainty + aged) / 2;
    if (uncertainty > aged && !isNews) return;
    this.offset = offset;
    this.uncertainty = uncertainty;
    this.syncedAt = receivedAt;
  }
}
