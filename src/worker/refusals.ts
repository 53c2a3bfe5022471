/**
 * Milliseconds to wait before each retry of a write that the database refused: the record of a
 * step, or a change of a run. After the last retry the run is blocked.
 */
const PAUSES_MS = [500, 2_000, 5_000];

/** The execution whose write was refused. */
export interface RefusalDelegate {
  /**
   * Called when the write is retried after a pause. During the pause nothing of the run is active,
   * so the run needs no slot.
   */
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
 * True when the database refuses the data. Otherwise this process no longer owns the run, or the
 * journal is closed.
 */
export function isRefusal(error: Error): boolean {
  const { code } = error as { code?: unknown };
  return code !== 'FENCED' && code !== 'CLOSED';
}
