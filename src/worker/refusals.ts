/**
 * Milliseconds to wait before each retry of a write that the database refused: the record of a
 * step, or a change of a run. After the last retry the run is blocked.
 */
const PAUSES_MS = [500, 2_000, 5_000];

/** The execution whose write was refused. */
export interface RefusalDelegate {
  /** Called when the write is to be retried later. Until then, nothing of the run is active. */
  retriesLater(message: string): void;
  block(error: Error): void;
}

/**
 * Counts the refusals of one kind of write, and decides whether to retry the write or to block the
 * run.
 */
export class Refusals {
  private count = 0;

  constructor(private readonly delegate: RefusalDelegate) {}

  /**
   * Handles a refusal. Returns the milliseconds to wait before the retry, or undefined after
   * blocking the run.
   */
  next(error: Error): number | undefined {
    const pauseMs = PAUSES_MS[this.count++];
    if (pauseMs === undefined) this.delegate.block(error);
    else this.delegate.retriesLater(`${error.message}; trying again in ${pauseMs} ms`);
    return pauseMs;
  }
}

/**
 * True when the database refuses the data. Any other error means that this process no longer owns
 * the run.
 */
export function isRefusal(error: Error): boolean {
  const { code } = error as { code?: unknown };
  return code !== 'FENCED' && code !== 'CLOSED';
}
