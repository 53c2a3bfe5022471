import type { ChunkAuthor } from '../engine/stream-port.js';

/** A write that waits for the lookup. */
interface UncheckedWrite {
  readonly by: ChunkAuthor['by'];
  readonly append: () => void;
  readonly giveUp: () => void;
}

/** Writes to a stream that wait until the stored part of the stream has been looked up. */
export class UncheckedWrites {
  private waiting: UncheckedWrite[] = [];

  /** Appends a chunk when the lookup is over. Rejects with the errors of `append`. */
  add(by: ChunkAuthor['by'], append: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const checked = (): void => {
        try {
          append();
          resolve();
        } catch (error) {
          reject(error);
        }
      };
      this.waiting.push({ by, append: checked, giveUp: resolve });
    });
  }

  /** Appends the chunks in the order of the writes. */
  appendAll(): void {
    for (const { append } of this.waiting.splice(0)) append();
  }

  /**
   * Drops the chunks, because the run leaves this process. Writes of step bodies resolve, and the
   * next write of a body is refused. Writes of `run` stay pending, because a pass that was given up
   * must not continue.
   */
  drop(): void {
    for (const { by, giveUp } of this.waiting.splice(0)) if (by === 'step') giveUp();
  }
}
