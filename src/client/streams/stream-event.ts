/** Reason why a stream has ended: it was closed, or its run has ended. */
export type StreamEndState = 'closed' | 'completed' | 'failed' | 'cancelled';

/** An event of a stream, for a reader with `form: 'events'`. */
export type StreamEvent<T = unknown> =
  | {
      readonly type: 'chunk';
      /** Place in the stream, from 0. A reader continues after the chunk with `from: index + 1`. */
      readonly index: number;
      readonly value: T;
      /** The step whose body wrote the chunk; undefined when `run` wrote it. */
      readonly stepKey: string | undefined;
      /** Number of the step's attempt, from 1; undefined when `run` wrote the chunk. */
      readonly attempt: number | undefined;
    }
  | {
      /**
       * A step is executed again. The chunks of this step from the place `from` on no longer count.
       * Chunks that were replaced before the reader came to them are left out without a reset.
       */
      readonly type: 'reset';
      readonly index: number;
      readonly from: number;
      readonly stepKey: string | undefined;
    }
  | {
      /** The stream has ended. No event follows. */
      readonly type: 'end';
      /** Number of chunks and markers in the stream, or the start of the reader if greater. */
      readonly index: number;
      readonly state: StreamEndState;
    };
