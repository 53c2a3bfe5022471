import { clearTimeout, setTimeout } from '../core/timers.js';
import { RunNotRecordedError } from '../core/errors/index.js';

/** Pauses before a change of a run is tried again; after the last one the run is blocked. */
const PAUSES_MS = [500, 2_000, 5_000];
/** Pauses between tries to block a run whose row takes no change at all. */
const FIRST_BLOCK_PAUSE_MS = 5_000;
const LONGEST_BLOCK_PAUSE_MS = 60_000;

interface ChangesOwner {
  /** The change is tried again later: nothing of the run is under way until then. */
  waits(message: string): void;
  /** The run is to be blocked. */
  givenUp(error: RunNotRecordedError): void;
  /** The run cannot be blocked either. Called once. */
  unwritable(error: RunNotRecordedError): void;
}

/**
 * Tries changes of a run's row again that the database refuses, such as its end or its suspension, and
 * then gives up: the run is blocked. Where the database refuses that too, the run stays in this
 * process's hands, holds no slot, and is tried once a minute.
 */
export class RefusedChanges {
  private refusals = 0;
  private blockPauseMs = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly runId: string,
    private readonly owner: ChangesOwner,
  ) {}

  /** @param submit hands the change in once more */
  refused(cause: Error, submit: () => void): void {
    const error = new RunNotRecordedError(this.runId, { cause });
    const pause = PAUSES_MS[this.refusals++];
    if (pause === undefined) return this.owner.givenUp(error);
    this.owner.waits(`${error.message}; trying again in ${pause} ms`);
    this.later(pause, submit);
  }

  /** @param submit hands in once more that the run is blocked */
  blockRefused(cause: Error, submit: () => void): void {
    if (this.blockPauseMs === 0) this.owner.unwritable(new RunNotRecordedError(this.runId, { cause }));
    this.blockPauseMs = Math.min(Math.max(this.blockPauseMs * 2, FIRST_BLOCK_PAUSE_MS), LONGEST_BLOCK_PAUSE_MS);
    this.later(this.blockPauseMs, submit);
  }

  /** Tries nothing again for now. */
  close(): void {
    clearTimeout(this.timer);
  }

  private later(pauseMs: number, submit: () => void): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(submit, pauseMs).unref();
  }
}
