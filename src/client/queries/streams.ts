import { checkText } from '../../core/ids.js';
import type { Database } from '../../store/database.js';
import { readShownStatus } from '../../store/sql/read-runs.js';
import { listStreams } from '../../store/sql/streams.js';
import { runNotFound } from '../follow.js';
import type { StreamEndState } from '../streams/stream-event.js';
import { endState } from '../streams/stream-events.js';

/** A stream of a run, as `client.streams` lists it. */
export interface StreamDescription {
  /** Name of the stream. */
  readonly name: string;
  /** Number of chunks and markers. The next chunk gets this place. */
  readonly length: number;
  /** Size of the stored chunks, in bytes. */
  readonly bytes: number;
  /**
   * `open` while the run may write. `closed` after `close()`. Otherwise the status with which the
   * run has ended. `expired` when retention has removed the chunks.
   */
  readonly state: 'open' | StreamEndState | 'expired';
  /** Time of the last chunk. */
  readonly writtenAt: Date;
}

/**
 * Lists the streams of a run.
 *
 * @internal
 * @throws InvalidInputError, RunNotFoundError
 */
export async function streamsOf(database: Database, runId: string): Promise<StreamDescription[]> {
  const status = await readShownStatus(database, checkText(runId, 'runId'), 'own');
  if (status === undefined) throw await runNotFound(database, runId);
  const streams = await listStreams(database, runId);
  return streams.map(({ name, length, bytes, isClosed, isExpired, writtenAt }) => ({
    name,
    length,
    bytes,
    state: isExpired ? 'expired' : endState(status === 'continued' ? 'completed' : status, isClosed ? 'end' : undefined),
    writtenAt: new Date(writtenAt),
  }));
}
