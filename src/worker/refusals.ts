/**
 * Pauses before the record of a step, or a change of a run, is tried again when the database
 * refused it. After the last pause the run is blocked.
 */
const PAUSES_MS = [500, 2_000, 5_000];

/** The execution whose write was refused. */
export interface RefusalDelegate {
  /** The write is tried again later; nothing of the run is active until then. */
  retriesLater(message: string): void;
  block(error: Error): void;
}

/** Counts the refusals of one kind of write, and decides between another try and giving up. */
export class Refusals {
  private count = 0;

  constructor(private readonly delegate: RefusalDelegate) {}

  /**
   * Reports the refusal. Returns the pause before the next try, or undefined when the run is
   * blocked instead.
   */
  next(error: Error): number | undefined {
    const pauseMs = PAUSES_MS[this.count++];
    if (pauseMs === undefined) this.delegate.block(error);
    else this.delegate.retriesLater(`${error.message}; trying again in ${pauseMs} ms`);
    return pauseMs;
  }
}

/** True when the database refuses the data; otherwise this process no longer owns the run. */
export function isRefusal(error: Error): boolean {
  const { code } = error as { code?: unknown };
  return code !== 'FENCED' && code !== 'CLOSED';
}
