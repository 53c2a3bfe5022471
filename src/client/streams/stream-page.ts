import { RunNotFoundError } from '../../core/errors/index.js';
import type { Payloads } from '../../core/payloads.js';
import type { Database } from '../../store/database.js';
import { readChunks, readStreamEnd, type StoredStream } from '../../store/sql/streams.js';
import type { StreamEndState, StreamEvent } from './stream-event.js';
import { endState, StreamEvents } from './stream-events.js';

/** Largest number of chunks in a page. */
export const MAX_PAGE_CHUNKS = 500;

/** Length and state of a stream. */
export interface StreamSummary {
  /** Number of chunks and markers. */
  readonly length: number;
  readonly state: 'open' | StreamEndState;
  /** First place from which a reader misses no chunk that retention has removed. */
  readonly expiredTo: number;
  /** Text that changes whenever the stream does. */
  readonly version: string;
}

/** A part of a stream. */
export interface StreamPage {
  readonly events: readonly StreamEvent[];
  /** Place at which the next page begins. */
  readonly next: number;
}

/**
 * Reads the length and the state of a stream. A stream that the run has not written to is empty.
 *
 * @throws RunNotFoundError
 */
export async function readSummary(database: Database, runId: string, stream: string): Promise<StreamSummary> {
  const found = await readStreamEnd(database, runId, stream);
  if (!found) throw new RunNotFoundError(runId);
  return summaryOf(found);
}

function summaryOf({ status, end }: StoredStream): StreamSummary {
  const state = endState(status, end?.closedBy === undefined ? undefined : 'end');
  const length = end?.length ?? 0;
  const expiredTo = end?.expiredTo ?? 0;
  return { length, state, expiredTo, version: `${length}-${end?.bytes ?? 0}-${expiredTo > 0 ? 'expired' : state}` };
}

/**
 * Reads a part of a stream. A page ends early when its chunks are large.
 *
 * @param from place of the first chunk
 * @param summary the stream as it was read before; the page contains everything up to its length
 * @throws PayloadUnreadableError when this process cannot decode a chunk
 * @throws StreamExpiredError when retention has removed chunks of the part
 */
export async function readPage(
  database: Database,
  payloads: Payloads,
  request: { readonly runId: string; readonly stream: string; readonly from: number },
  { limit, summary }: { readonly limit: number; readonly summary: StreamSummary },
): Promise<StreamPage> {
  const [page] = await readChunks(database, [request], limit);
  const chunks = page?.chunks ?? [];
  const decoder = new StreamEvents<unknown>({ payloads, stream: request.stream }, request.from);
  const events = chunks.flatMap((chunk) => decoder.from(chunk) ?? []);
  const last = chunks.at(-1);
  const after = last ? last.index + 1 : request.from;
  return { events, next: page?.rest === 'none' ? Math.max(after, summary.length) : after };
}
