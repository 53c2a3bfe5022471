/** Name of a stream that is opened without a name. */
export const DEFAULT_STREAM = 'default';

/** Largest chunk, in bytes of JSON before the payload codec. */
export const MAX_CHUNK_BYTES = 256 << 10;
/** Largest number of chunks and markers in one stream. */
export const MAX_STREAM_CHUNKS = 100_000;
/** Largest stream, in bytes of stored chunks. */
export const MAX_STREAM_BYTES = 64 << 20;
/** Largest number of streams that one run may write to. */
export const MAX_STREAMS = 100;

/**
 * A stream that a run writes to, in `run` or in the body of a step. Readers anywhere get the chunks
 * in order, while the run works and afterwards. See docs/streams.md.
 */
export interface WorkflowStream<T = unknown> {
  /** Name of the stream. */
  readonly name: string;
  /**
   * Appends a chunk: any value that a step may return. Resolves at once while the run's buffer of 1
   * MiB has room, and otherwise when it has room again.
   *
   * @throws SerializationError when the value cannot be stored
   * @throws PayloadTooLargeError when the chunk is larger than 256 KiB of JSON
   * @throws StreamLimitError when the stream or the run has reached a limit
   * @throws StreamClosedError when the stream was closed, or the attempt of the step is over
   * @example for await (const token of answer) await out.write(token);
   */
  write(value: T): Promise<void>;
  /**
   * Appends each value of a source as a chunk, as soon as the source yields the value. Takes the
   * next value when the buffer has room. When a write fails, closes the source: a `ReadableStream`
   * is cancelled.
   *
   * @param source an async iterable, such as a `ReadableStream`, the text stream of a model or an
   *   async generator. A slow source should end when `currentStep().abortSignal` is aborted
   * @returns the values, in order, when the source has ended
   * @throws InvalidInputError when the source is not an async iterable
   * @throws the error of the source, and the errors of `write`
   * @example
   * const out = currentStep().stream<string>('answer');
   * return (await out.writeAll(this.models.ask(question))).join('');
   */
  writeAll(source: AsyncIterable<T>): Promise<T[]>;
  /**
   * Resolves when every chunk written so far is durable.
   *
   * @throws StreamClosedError when the attempt of the step is over
   */
  flush(): Promise<void>;
  /**
   * Closes the stream: its readers end after the last chunk. Without this call they end with the
   * run. Resolves when the end of the stream is durable.
   *
   * @throws StreamClosedError when the attempt of the step is over
   */
  close(): Promise<void>;
}

/** Kind of a stored row of a stream. */
export type ChunkKind = 'data' | 'reset' | 'end';

/** A chunk or marker to be stored. */
export interface NewChunk {
  readonly kind: ChunkKind;
  /** The step whose body wrote the chunk; null when `run` wrote it. */
  readonly stepKey: string | null;
  readonly attempt: number | null;
  /** The value in the stored form; null for a marker. */
  readonly data: string | null;
  /** Size of `data`, in bytes. */
  readonly bytes: number;
  /**
   * Position among the writes of `run` to the stream, as text for a `bigint` column. Null for a
   * chunk of a step. A replay repeats the writes with the same positions.
   */
  readonly runPosition: string | null;
  /** Number that increases with each chunk of this process, as text for a `bigint` column. */
  readonly ordinal: string;
  /**
   * True for the first chunk of an execution of a step, or of `run`. Also true for a reset, which
   * is stored only if the step has earlier chunks.
   */
  readonly isFirst: boolean;
}
