import { clearTimeout, setTimeout } from '../../core/timers.js';

interface Waiter {
  readonly grant: () => void;
  readonly giveUp: () => void;
}

/** Releases the lock. Must be called exactly once. */
export type Release = () => void;

/**
 * Shared/exclusive lock for deliveries. Normal deliveries share the lock. A run that may crash the
 * process (a suspect run) requires the lock exclusively. A request waits for the lock until its
 * timeout. If requests failed at once, QStash would retry the refused deliveries at the same
 * moment, and these would block each other again.
 */
export class SharedExclusiveLock {
  private holders = 0;
  private isExclusive = false;
  private readonly sharedWaiters: Waiter[] = [];
  private readonly exclusiveWaiters: Waiter[] = [];

  /**
   * @param sharedTimeoutMs milliseconds for which a shared request waits
   * @param exclusiveTimeoutMs milliseconds for which an exclusive request waits. Must exceed the
   *   time for which normal deliveries hold the lock. Otherwise an exclusive request would never
   *   succeed
   */
  constructor(
    private readonly sharedTimeoutMs: number,
    private readonly exclusiveTimeoutMs: number,
  ) {}

  /**
   * Acquires the lock as one of several holders. Resolves to undefined if the lock is held or
   * requested exclusively until the timeout.
   */
  acquireShared(): Promise<Release | undefined> {
    return this.wait(this.sharedWaiters, this.sharedTimeoutMs, () => this.holders--);
  }

  /**
   * Acquires the lock as its only holder, after all other holders have released it. Resolves to
   * undefined after the timeout.
   */
  acquireExclusive(): Promise<Release | undefined> {
    return this.wait(this.exclusiveWaiters, this.exclusiveTimeoutMs, () => (this.isExclusive = false));
  }

  /** Ends all waiting requests: they resolve to undefined. */
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
