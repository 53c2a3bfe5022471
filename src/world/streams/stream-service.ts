import { isAway } from '../../store/database-errors.js';
import { isBytes, plainBytes } from '../codec.js';
import type { StreamChunks, StreamInfo } from '../contract.js';
import type { Kit } from '../kit.js';
import type { StreamStore } from '../store/stream-store.js';
import type { StreamSignals } from './stream-signals.js';

const MIN_POLL_MS = 50;
/** Longest pause between two looks of a reader, which also finds chunks whose signal was lost. */
const MAX_POLL_MS = 1_000;
const READ_LIMIT = 100;
const MAX_LIMIT = 1_000;

type Chunk = string | Uint8Array;

/**
 * Streams: writers append chunks and signal them, and readers read on when they are woken. Readers
 * also poll, because signals may get lost.
 */
export class StreamService {
  private isClosed = false;

  constructor(
    private readonly store: StreamStore,
    private readonly kit: Kit,
    private readonly signals: StreamSignals,
    private readonly maxPollMs = MAX_POLL_MS,
  ) {}

  async write(name: string, runId: string | Promise<string>, chunks: readonly Chunk[]): Promise<void> {
    const owner = await runId;
    if (typeof name !== 'string' || typeof owner !== 'string') throw this.invalid('a stream needs a name and a run id');
    const bytes = chunks.map((chunk) => this.encode(chunk));
    if (bytes.length === 0) return;
    await this.store.append(name, owner, bytes);
    this.signals.send(name);
  }

  async close(name: string, runId: string | Promise<string>): Promise<void> {
    const owner = await runId;
    if (typeof name !== 'string' || typeof owner !== 'string') throw this.invalid('a stream needs a name and a run id');
    await this.store.close(name, owner);
    this.signals.send(name);
  }

  /**
   * Reads a stream from an index on; negative: from the end. Reads only as far as the consumer
   * takes, so that a long stream does not fill the memory.
   */
  async read(name: string, startIndex: number): Promise<ReadableStream<Uint8Array>> {
    if (!Number.isInteger(startIndex)) throw this.invalid('startIndex must be an integer');
    const state = await this.store.state(name);
    let next = startIndex >= 0 ? startIndex : Math.max(0, (state?.tailIndex ?? -1) + 1 + startIndex);
    let wasThere = state !== undefined;
    const abort = new AbortController();
    this.signals.start();
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          for (let pauseMs = MIN_POLL_MS; !abort.signal.aborted; pauseMs = Math.min(pauseMs * 2, this.maxPollMs)) {
            if (this.signals.isListening) pauseMs = this.maxPollMs;
            if (this.isClosed) throw new this.kit.errors.WorkflowWorldError('the World is closed', { status: 503 });
            const woken = this.signals.wait(name, pauseMs, abort.signal);
            try {
              const chunks = await this.store.read(name, next, READ_LIMIT);
              for (const { data } of chunks) controller.enqueue(data);
              next += chunks.length;
              if (chunks.length > 0) return woken.cancel();
              const now = await this.store.state(name);
              // A stream that was there and is not has been removed with its run.
              if ((now === undefined && wasThere) || (now?.isClosed === true && now.tailIndex < next)) {
                controller.close();
                return woken.cancel();
              }
              wasThere ||= now !== undefined;
            } catch (error) {
              // The reader outlives a restart of the database.
              if (!isAway(error)) {
                woken.cancel();
                throw error;
              }
            }
            await woken.promise;
          }
        },
        cancel: () => abort.abort(),
      },
      { highWaterMark: 0 },
    );
  }

  async chunks(name: string, options: { limit?: number; cursor?: string } = {}): Promise<StreamChunks> {
    const { limit = 100, cursor } = options;
    if (!Number.isInteger(limit) || limit < 1) throw this.invalid('limit must be a positive integer');
    if (cursor !== undefined && cursor !== null && !/^\d{1,15}$/.test(cursor)) throw this.invalid('cursor is not a cursor of this stream');
    const from = Number(cursor ?? 0);
    const state = await this.store.state(name);
    const data = (await this.store.read(name, from, Math.min(limit, MAX_LIMIT))).map(({ index, data: bytes }) => ({ index, data: bytes }));
    const next = (data.at(-1)?.index ?? from - 1) + 1;
    const hasMore = (state?.tailIndex ?? -1) >= next;
    return { data, cursor: hasMore ? String(next) : null, hasMore, done: state?.isClosed ?? false };
  }

  async info(name: string): Promise<StreamInfo> {
    const state = await this.store.state(name);
    return { tailIndex: state?.tailIndex ?? -1, done: state?.isClosed ?? false };
  }

  list(runId: string): Promise<string[]> {
    return this.store.list(runId);
  }

  /** Fails all readers that wait. */
  async stop(): Promise<void> {
    this.isClosed = true;
    await this.signals.stop();
  }

  private encode(chunk: unknown): Uint8Array {
    if (typeof chunk === 'string') return Buffer.from(chunk);
    if (isBytes(chunk)) return plainBytes(chunk);
    throw this.invalid('a chunk must be a text or a Uint8Array');
  }

  private invalid(text: string): Error {
    return new this.kit.errors.WorkflowWorldError(text, { status: 400 });
  }
}
