import { clearTimeout, setTimeout } from '../../core/timers.js';

interface Waiting {
  readonly enter: () => void;
  readonly giveUp: () => void;
}

/** Releases the lock. Must be called exactly once. */
export type Leave = () => void;

/**
 * Shared/exclusive lock for deliveries. Normal deliveries share it; a suspect run, which may crash
 * the process, takes it alone. Waiters time out instead of failing at once, because QStash would
 * retry all refused deliveries at the same moment.
 */
export class SharedExclusiveLock {
  private members = 0;
  private isTaken = false;
  private readonly joining: Waiting[] = [];
  private readonly lonely: Waiting[] = [];

  /**
   * @param joinMs milliseconds that a shared request waits
   * @param aloneMs milliseconds that an exclusive request waits; longer than the others run, or it
   *   would never get the lock
   */
  constructor(
    private readonly joinMs: number,
    private readonly aloneMs: number,
  ) {}

  /**
   * Acquires the lock together with others. Resolves to undefined when the timeout passes while the
   * lock is held or requested exclusively.
   */
  join(): Promise<Leave | undefined> {
    return this.wait(this.joining, this.joinMs, () => this.members--);
  }

  /**
   * Acquires the lock alone, after all other holders have released it. Resolves to undefined on
   * timeout.
   */
  alone(): Promise<Leave | undefined> {
    return this.wait(this.lonely, this.aloneMs, () => (this.isTaken = false));
  }

  /** Ends all waiting requests without the lock. */
  close(): void {
    for (const waiting of [...this.joining, ...this.lonely]) waiting.giveUp();
  }

  private wait(line: Waiting[], patienceMs: number, left: () => void): Promise<Leave | undefined> {
    return new Promise((resolve) => {
      const leave = (): void => {
        left();
        this.admit();
      };
      const waiting: Waiting = {
        enter: () => {
          clearTimeout(timer);
          resolve(leave);
        },
        giveUp: () => {
          clearTimeout(timer);
          line.splice(line.indexOf(waiting), 1);
          resolve(undefined);
          this.admit();
        },
      };
      const timer = setTimeout(waiting.giveUp, patienceMs);
      line.push(waiting);
      this.admit();
    });
  }

  private admit(): void {
    if (this.isTaken) return;
    if (this.lonely.length === 0) {
      for (const waiting of this.joining.splice(0)) {
        this.members++;
        waiting.enter();
      }
    } else if (this.members === 0) {
      this.isTaken = true;
      this.lonely.shift()!.enter();
    }
  }
}
