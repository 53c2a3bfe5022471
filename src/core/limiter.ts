/** Where work stands among what waits for its turn. */
export type Turn = 'first' | 'last';

/** Bounds how much work is under way at a time; the rest waits for its turn. */
export class Limiter {
  private free: number;
  private readonly urgent: (() => void)[] = [];
  private readonly waiting: (() => void)[] = [];

  constructor(limit: number) {
    this.free = limit;
  }

  /** Does the work when it is its turn. Resolves or rejects as the work does. */
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
