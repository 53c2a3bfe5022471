/** Position in the queue of a Limiter: `first` is before all work that was added as `last`. */
export type Turn = 'first' | 'last';

/** Limits the number of functions that run at the same time. Further functions wait in a queue. */
export class Limiter {
  private free: number;
  private readonly urgent: (() => void)[] = [];
  private readonly waiting: (() => void)[] = [];

  constructor(limit: number) {
    this.free = limit;
  }

  /** Calls `work` as soon as the limit allows. Settles as the promise of `work` does. */
  async run<T>(work: () => Promise<T>, turn: Turn = 'last'): Promise<T> {
    if (this.free > 0) this.free--;
    else await new Promise<void>((resolve) => void (turn === 'first' ? this.urgent : this.waiting).push(resolve));
    try {
      return await work();
    } finally {
      const next = this.urgent.shift() ?? this.waiting.shift();
      if (next) next();
      else this.free++;
    }
  }
}
