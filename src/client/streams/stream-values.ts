import { ReadableStream } from 'node:stream/web';

import type { StreamReader } from './stream-reader.js';

/** Iterates over the values of a stream. */
export class StreamValues<T> implements AsyncIterableIterator<T> {
  private isOver = false;

  constructor(
    private readonly reader: StreamReader<T>,
    /** Throws the error of a run that has failed or was cancelled. */
    private readonly outcome: () => Promise<unknown>,
  ) {}

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<T>> {
    for (;;) {
      const { done, value: event } = await this.reader.next();
      if (done) return { done: true, value: undefined };
      if (event.type === 'chunk') return { done: false, value: event.value };
      if (event.type === 'end' && (event.state === 'failed' || event.state === 'cancelled') && !this.isOver) await this.outcome();
    }
  }

  async return(): Promise<IteratorResult<T>> {
    this.isOver = true;
    await this.reader.return();
    return { done: true, value: undefined };
  }
}

/** Converts an iterator to a web stream that reads only what its consumer takes. */
export function readableOf<T>(values: StreamValues<T>): ReadableStream<T> {
  return new ReadableStream<T>(
    {
      async pull(controller) {
        const { done, value } = await values.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await values.return();
      },
    },
    { highWaterMark: 0 },
  );
}
