import { clearTimeout, setTimeout } from '../../core/timers.js';

interface Waiting {
  readonly enter: () => void;
  readonly giveUp: () => void;
}

/** Has to be called when it is over, once. */
export type Leave = () => void;

/**
 * Who is executed beside whom: what may kill its process is executed when nothing else is, and nothing else begins until it is done. Those that cannot begin wait here for
 * a while, instead of being refused at once: all that came at the same time would be refused, and come again at the same time.
 */
export class SharedExclusiveLock {
  private members = 0;
  private isTaken = false;
  private readonly joining: Waiting[] = [];
  private readonly lonely: Waiting[] = [];

  /**
   * @param joinMs how long those wait that are executed with others
   * @param aloneMs how long one waits that is executed alone: longer than the others go on, or it would never be
   */
  constructor(
    private readonly joinMs: number,
    private readonly aloneMs: number,
  ) {}

  /** To be executed with others. Undefined when something is executed alone, or waits for that, all the time. */
  join(): Promise<Leave | undefined> {
    return this.wait(this.joining, this.joinMs, () => this.members--);
  }

  /** To be executed alone, when everybody has left. Undefined when that takes too long. */
  alone(): Promise<Leave | undefined> {
    return this.wait(this.lonely, this.aloneMs, () => (this.isTaken = false));
  }

  /** Nobody waits any more. */
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
