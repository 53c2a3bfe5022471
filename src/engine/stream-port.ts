/** Author of a chunk: `run` itself, or an attempt of a step. */
export type ChunkAuthor =
  /** `position` counts the writes of `run` to the stream: the same in every pass. */
  | { readonly by: 'run'; readonly generation: number; readonly position: number }
  /** `execution` is the same object for all chunks of one execution of the body. */
  | { readonly by: 'step'; readonly stepKey: string; readonly attempt: number; readonly execution: object };

/** A chunk, or the end of a stream, that the workflow's code writes. */
export interface WrittenChunk {
  readonly stream: string;
  readonly kind: 'data' | 'end';
  /** The value in the stored form; null for the end. */
  readonly data: string | null;
  readonly author: ChunkAuthor;
  /**
   * Moment at which the write is accepted. `'atOnce'`: for a write that a replay repeats, because a
   * wait for the database could change the order of the calls of `run`. `'checked'`: once the end
   * and the limits of the stream are known.
   */
  readonly accept: 'atOnce' | 'checked';
}

/** Stores the chunks that a workflow's code writes. */
export interface StreamPort {
  /**
   * Appends a chunk. Resolves when the buffer of the run has room for further chunks.
   *
   * @throws StreamLimitError, StreamClosedError
   */
  write(chunk: WrittenChunk): Promise<void>;
  /** Resolves when every chunk was accepted or refused. Undefined when no chunk is unchecked. */
  unchecked(): Promise<void> | undefined;
  /** Resolves when every chunk that was appended to the stream is durable. */
  flush(stream: string, author: ChunkAuthor['by']): Promise<void>;
}
