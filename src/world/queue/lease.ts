import { within } from '../../core/async.js';
import { clearInterval, setInterval } from '../../core/timers.js';
import type { MessageStore, TakenMessage } from '../store/message-store.js';

/**
 * Seconds that a delivery owns its message without a sign of life. A worker that is killed is
 * noticed after this time.
 */
export const LEASE_SECONDS = 15;

/** Deliveries that this process executes, and their leases. */
export class Leases {
  private readonly running = new Set<Promise<unknown>>();
  private readonly timers = new Set<NodeJS.Timeout>();

  /**
   * Executes a delivery, and extends its lease until the delivery has ended. A step may run for
   * hours. Each delivery has a timer of its own: a second delivery of the same message must not end
   * the heartbeat of the first.
   */
  async keep<T>(store: MessageStore, message: TakenMessage, execute: () => Promise<T>): Promise<T> {
    const timer = setInterval(
      () => {
        // A heartbeat that fails is repeated by the next one.
        void store.extend(message, LEASE_SECONDS).catch(() => undefined);
      },
      (LEASE_SECONDS * 1_000) / 3,
    ).unref();
    this.timers.add(timer);
    const delivery = execute().finally(() => {
      this.release(timer);
      this.running.delete(delivery);
    });
    this.running.add(delivery);
    return delivery;
  }

  /**
   * Waits until all deliveries have ended, and at most for some milliseconds. Leases of deliveries
   * that go on are no longer extended, so that another process takes their messages over.
   */
  async end(timeoutMs: number): Promise<void> {
    await within(timeoutMs, Promise.allSettled(this.running));
    for (const timer of this.timers) this.release(timer);
  }

  private release(timer: NodeJS.Timeout): void {
    clearInterval(timer);
    this.timers.delete(timer);
  }
}
