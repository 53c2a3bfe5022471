import { WorkflowError } from './workflow-error.js';

/**
 * A stream, or the run that writes it, has reached a limit: 100,000 chunks or 64 MiB in a stream,
 * or 100 streams of a run. The chunk was not written. Write larger and fewer chunks, or continue
 * with `ctx.continueAsNew`.
 *
 * @example
 * if (error instanceof StreamLimitError) logger.warn(`stream ${error.stream} is full`);
 */
export class StreamLimitError extends WorkflowError {
  static override readonly errorName: string = 'StreamLimitError';
  readonly code = 'STREAM_LIMIT';

  constructor(
    /** Name of the stream. */
    readonly stream: string,
    /** The limit that was reached, such as `100000 chunks`. */
    readonly limit: string,
  ) {
    super(`stream "${stream}" cannot take another chunk: the limit is ${limit}`);
  }
}

/**
 * A chunk was written to a stream that was closed, or by an attempt of a step that is over. The
 * chunk was not written. Await every write in the body of the step.
 *
 * @example
 * if (error instanceof StreamClosedError) return; // Nobody reads further chunks.
 */
export class StreamClosedError extends WorkflowError {
  static override readonly errorName: string = 'StreamClosedError';
  readonly code = 'STREAM_CLOSED';

  constructor(
    /** Name of the stream. */
    readonly stream: string,
    detail: string,
    options?: { cause?: unknown },
  ) {
    super(`stream "${stream}" takes no further chunks: ${detail}`, options);
  }
}

/**
 * Retention has removed the chunks from which a reader wanted to continue, by the option
 * `streams.retention`. The run itself is still there.
 *
 * @example
 * if (error instanceof StreamExpiredError) return handle.result(); // Only the outcome is left.
 */
export class StreamExpiredError extends WorkflowError {
  static override readonly errorName: string = 'StreamExpiredError';
  readonly code = 'STREAM_EXPIRED';

  constructor(
    /** Name of the stream. */
    readonly stream: string,
    /** Place after the removed chunks. Chunks follow only if the run was retried. */
    readonly next: number,
  ) {
    super(`the chunks of stream "${stream}" before place ${next} were removed by the retention of streams`);
  }
}
