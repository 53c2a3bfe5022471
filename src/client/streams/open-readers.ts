import type { StreamEvent } from './stream-event.js';

type Reader = AsyncIterableIterator<StreamEvent>;

/** Readers that can all be ended at once. The owner of each reader leaves by `return`. */
export class OpenReaders {
  private readonly readers = new Set<Reader>();
  private isOver = false;

  /** Returns a reader that `end` ends too. The owner must call `return`, also after the end. */
  track(reader: Reader): Reader {
    const tracked: Reader = {
      next: () => reader.next(),
      return: () => {
        this.readers.delete(tracked);
        return reader.return!();
      },
      [Symbol.asyncIterator]: () => tracked,
    };
    this.readers.add(tracked);
    if (this.isOver) void tracked.return!();
    return tracked;
  }

  /**
   * Ends all open readers, and each reader that is tracked later.
   *
   * @returns number of readers that were open
   */
  end(): number {
    const { size } = this.readers;
    this.isOver = true;
    for (const reader of this.readers) void reader.return!();
    return size;
  }
}
