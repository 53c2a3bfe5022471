import { setTimeout, clearTimeout } from '../../core/timers.js';
import { isAway } from '../../store/database-errors.js';
import { isBytes, plainBytes } from '../codec.js';
import type { StreamChunks, StreamInfo } from '../contract.js';
import type { Kit } from '../kit.js';
import type { StreamStore } from '../store/stream-store.js';

const MIN_POLL_MS = 50;
const MAX_POLL_MS = 1_000;
const READ_LIMIT = 100;
const MAX_LIMIT = 1_000;

type Chunk = string | Uint8Array;

/**
 * Streams: writers append chunks, and readers poll. A writer in the same process wakes the readers
 * at once.
 */
export class StreamService {
  private readonly waiting = new Map<string, Set<() => void>>();
  private isClosed = false;

  constructor(
    private readonly store: StreamStore,
    private readonly kit: Kit,
  ) {}

  async write(name: string, runId: string | Promise<string>, chunks: readonly Chunk[]): Promise<void> {
    const owner = await runId;
    if (typeof name !== 'string' || typeof owner !== 'string') throw this.invalid('a stream needs a name and a run id');
    const bytes = chunks.map((chunk) => this.encode(chunk));
    if (bytes.length === 0) return;
    await this.store.append(name, owner, bytes);
    this.wake(name);
  }

  async close(name: string, runId: string | Promise<string>): Promise<void> {
    const owner = await runId;
    if (typeof name !== 'string' || typeof owner !== 'string') throw this.invalid('a stream needs a name and a run id');
    await this.store.close(name, owner);
    this.wake(name);
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
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          for (let pauseMs = MIN_POLL_MS; !abort.signal.aborted; pauseMs = Math.min(pauseMs * 2, MAX_POLL_MS)) {
            if (this.isClosed) throw new this.kit.errors.WorkflowWorldError('the World is closed', { status: 503 });
            const woken = this.wait(name, pauseMs, abort.signal);
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
  stop(): void {
    this.isClosed = true;
    for (const name of this.waiting.keys()) this.wake(name);
  }

  private wake(name: string): void {
    for (const done of this.waiting.get(name) ?? []) done();
  }

  /**
   * Waits for a chunk of this process, or for some time. Begins before the read, so that nothing is
   * missed.
   */
  private wait(name: string, pauseMs: number, signal: AbortSignal): { promise: Promise<void>; cancel: () => void } {
    let cancel = (): void => undefined;
    const promise = new Promise<void>((resolve) => {
      const set = this.waiting.get(name) ?? new Set();
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        set.delete(done);
        if (set.size === 0) this.waiting.delete(name);
        resolve();
      };
      const timer = setTimeout(done, pauseMs);
      signal.addEventListener('abort', done);
      set.add(done);
      this.waiting.set(name, set);
      cancel = done;
    });
    return { promise, cancel };
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
