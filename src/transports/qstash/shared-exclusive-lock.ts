import { clearTimeout, setTimeout } from '../../core/timers.js';

interface Waiter {
  readonly grant: () => void;
  readonly giveUp: () => void;
}

/** Releases the lock. Must be called exactly once. */
export type Release = () => void;

/**
 * Shared/exclusive lock for deliveries. Normal deliveries share it; a suspect run, which may crash
 * the process, takes it alone. Waiters time out instead of failing at once, because QStash would
 * retry all refused deliveries at the same moment.
 */
export class SharedExclusiveLock {
  private holders = 0;
  private isExclusive = false;
  private readonly sharedWaiters: Waiter[] = [];
  private readonly exclusiveWaiters: Waiter[] = [];

  /**
   * @param sharedTimeoutMs milliseconds that a shared request waits
   * @param exclusiveTimeoutMs milliseconds that an exclusive request waits; longer than the others
   *   run, or it would never get the lock
   */
  constructor(
    private readonly sharedTimeoutMs: number,
    private readonly exclusiveTimeoutMs: number,
  ) {}

  /**
   * Acquires the lock together with others. Resolves to undefined when the timeout passes while the
   * lock is held or requested exclusively.
   */
  acquireShared(): Promise<Release | undefined> {
    return this.wait(this.sharedWaiters, this.sharedTimeoutMs, () => this.holders--);
  }

  /**
   * Acquires the lock alone, after all other holders have released it. Resolves to undefined on
   * timeout.
   */
  acquireExclusive(): Promise<Release | undefined> {
    return this.wait(this.exclusiveWaiters, this.exclusiveTimeoutMs, () => (this.isExclusive = false));
  }

  /** Ends all waiting requests without the lock. */
  close(): void {
    for (const waiter of [...this.sharedWaiters, ...this.exclusiveWaiters]) waiter.giveUp();
  }

  private wait(queue: Waiter[], timeoutMs: number, onRelease: () => void): Promise<Release | undefined> {
    return new Promise((resolve) => {
      const release = (): void => {
        onRelease();
        this.admit();
      };
      const waiter: Waiter = {
        grant: () => {
          clearTimeout(timer);
          resolve(release);
        },
        giveUp: () => {
          clearTimeout(timer);
          queue.splice(queue.indexOf(waiter), 1);
          resolve(undefined);
          this.admit();
        },
      };
      const timer = setTimeout(waiter.giveUp, timeoutMs);
      queue.push(waiter);
      this.admit();
    });
  }

  private admit(): void {
    if (this.isExclusive) return;
    if (this.exclusiveWaiters.length === 0) {
      for (const waiter of this.sharedWaiters.splice(0)) {
        this.holders++;
        waiter.grant();
      }
    } else if (this.holders === 0) {
      this.isExclusive = true;
      this.exclusiveWaiters.shift()!.grant();
    }
  }
}
