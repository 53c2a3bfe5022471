/** Position of new work in the queue. */
export type Turn = 'first' | 'last';

/** Bounds how much work is active at a time. Further work waits in a queue. */
export class Limiter {
  private free: number;
  private readonly urgent: (() => void)[] = [];
  private readonly waiting: (() => void)[] = [];

  constructor(limit: number) {
    this.free = limit;
  }

  /** Starts the work when a place is free. Settles as the work does. */
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
