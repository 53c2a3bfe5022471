import { StreamExpiredError } from '../../core/errors/index.js';
import type { Payloads } from '../../core/payloads.js';
import { isTerminal, type RunStatus } from '../../core/run.js';
import type { StoredChunk } from '../../store/sql/streams.js';
import type { StreamEndState, StreamEvent } from './stream-event.js';

/**
 * Returns the state of a stream.
 *
 * @param lastKind kind of the last row of the stream
 */
export function endState(status: RunStatus, lastKind: StoredChunk['kind'] | undefined): StreamEndState | 'open' {
  if (lastKind === 'end') return 'closed';
  return isTerminal(status) ? status : 'open';
}

/** Converts the rows of a stream to events for one reader. */
export class StreamEvents<T> {
  /** Steps of which the reader has got chunks. */
  private readonly shown = new Set<string | null>();

  constructor(
    private readonly source: { readonly payloads: Payloads; readonly stream: string },
    /** Place at which the reader began. */
    private readonly start: number,
  ) {}

  /**
   * Returns the event of a row; undefined for a row that changes nothing for this reader.
   *
   * @throws PayloadUnreadableError when this process cannot decode the chunk
   * @throws StreamExpiredError when retention has removed chunks before this row
   */
  from({ index, kind, stepKey, attempt, data, from, isExpired }: StoredChunk): Exclude<StreamEvent<T>, { type: 'end' }> | undefined {
    if (isExpired) throw new StreamExpiredError(this.source.stream, index + 1);
    if (kind === 'reset') {
      if (from === null) return undefined;
      // The reader has not got the chunks that no longer count, and neither has an earlier reader
      // that stopped at the start of this one.
      if (!this.shown.has(stepKey) && from >= this.start) return undefined;
      return { type: 'reset', index, from, stepKey: stepKey ?? undefined };
    }
    if (kind === 'end') return undefined;
    this.shown.add(stepKey);
    const { payloads, stream } = this.source;
    const value = payloads.decode(data ?? 'null', `chunk of stream "${stream}"`) as T;
    return { type: 'chunk', index, value, stepKey: stepKey ?? undefined, attempt: attempt ?? undefined };
  }
}
