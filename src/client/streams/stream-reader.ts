import { RunNotFoundError } from '../../core/errors/index.js';
import type { Payloads } from '../../core/payloads.js';
import { readStreamEnd, type ChunkPage, type StoredChunk, type StoredStream } from '../../store/sql/streams.js';
import type { StreamEvent } from './stream-event.js';
import { endState, StreamEvents } from './stream-events.js';
import type { ChunkSource, PageWait, StreamHub } from './stream-hub.js';

/** Reads one stream of one run, from a place on. */
export interface StreamSource {
  readonly hub: StreamHub;
  readonly payloads: Payloads;
  readonly runId: string;
  readonly stream: string;
  readonly from: number;
}

/**
 * Iterates over the events of a stream. Waits for chunks while the run works, and ends after the
 * event `end`. Waits hold no resources after `return`.
 */
export class StreamReader<T> implements AsyncIterableIterator<StreamEvent<T>> {
  private place: number | undefined;
  private wait: PageWait | undefined;
  private page: ChunkPage | undefined;
  /** Next chunk of the page. */
  private position = 0;
  private isOver = false;
  /** The replica until the reader has reached the newest chunks, and the primary from then on. */
  private chunkSource: ChunkSource = 'replica';
  /** Settles a `next` that waits while the reader is given up. */
  private stop: (() => void) | undefined;
  /** Calls of `next` are executed one after another. */
  private turn: Promise<unknown> = Promise.resolve();
  /** Number of calls of `next` that have no result yet. */
  private pending = 0;
  private events: StreamEvents<T> | undefined;
  private lastKind: StoredChunk['kind'] | undefined;

  constructor(private readonly source: StreamSource) {}

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<StreamEvent<T>>> {
    // Most chunks are in the page already, and need no turn of their own.
    const event = this.pending === 0 ? this.takeLoaded() : undefined;
    if (event) return Promise.resolve({ done: false, value: event });
    this.pending++;
    const turn = this.turn.then(() => this.read()).finally(() => this.pending--);
    this.turn = turn.catch(() => undefined);
    return turn;
  }

  /** Returns the next event of the page. An error is left to `read`, which meets it again. */
  private takeLoaded(): StreamEvent<T> | undefined {
    const { position } = this;
    try {
      return this.isOver ? undefined : this.nextOfPage();
    } catch {
      this.position = position;
      return undefined;
    }
  }

  /** Ends the iteration. A pending `next` resolves at once, and nothing of the reader remains. */
  return(): Promise<IteratorResult<StreamEvent<T>>> {
    this.isOver = true;
    this.page = undefined;
    this.wait?.cancel();
    this.stop?.();
    return Promise.resolve({ done: true, value: undefined });
  }

  private async read(): Promise<IteratorResult<StreamEvent<T>>> {
    try {
      for (;;) {
        if (this.isOver) return { done: true, value: undefined };
        const event = this.nextOfPage();
        if (event) return { done: false, value: event };
        await this.untilStopped(this.load());
      }
    } catch (error) {
      this.isOver = true;
      throw error;
    }
  }

  /** Waits until the work has ended, or the reader is given up. */
  private async untilStopped(work: Promise<void>): Promise<void> {
    const stopped = new Promise<void>((resolve) => {
      this.stop = resolve;
    });
    await Promise.race([work, stopped]);
    this.stop = undefined;
  }

  private nextOfPage(): StreamEvent<T> | undefined {
    const { page } = this;
    const chunks = page?.chunks ?? [];
    while (this.position < chunks.length) {
      const chunk = chunks[this.position++]!;
      this.place = chunk.index + 1;
      this.lastKind = chunk.kind;
      const event = this.events!.from(chunk);
      if (event) return event;
    }
    if (!page || page.rest === 'cut') return undefined;
    const state = endState(page.status!, this.lastKind);
    if (state === 'open') return undefined;
    this.isOver = true;
    this.page = undefined;
    return { type: 'end', index: this.place!, state };
  }

  private async load(): Promise<void> {
    const { hub, runId, stream } = this.source;
    if (this.place === undefined) {
      const start = await this.findStart();
      if (this.isOver) return;
      this.place = start;
      this.events = new StreamEvents<T>(this.source, start);
    }
    this.page = this.lastKind === 'end' ? await this.findClosed() : undefined;
    this.position = 0;
    if (this.page || this.isOver) return;
    this.wait = hub.wait({ runId, stream, from: this.place }, this.chunkSource);
    this.page = await this.wait.page;
    this.wait = undefined;
    if (this.page.rest === 'none') this.chunkSource = 'primary';
  }

  /**
   * Returns an empty last page when no chunk follows the mark that closed the stream. The hub would
   * wait for a chunk, because the run may still be executed.
   */
  private async findClosed(): Promise<ChunkPage | undefined> {
    const found = await this.readEnd();
    const isLast = found?.end?.closedBy !== undefined && found.end.length <= this.place!;
    return isLast ? { status: found.status, chunks: [], rest: 'none' } : undefined;
  }

  /** Converts a place that counts from the end. */
  private async findStart(): Promise<number> {
    const { from } = this.source;
    // A reader that continues at a place may have to see how the stream was closed before it.
    if (from === 0) return 0;
    const end = (await this.readEnd())?.end;
    if (end?.closedBy !== undefined) this.lastKind = 'end';
    return from < 0 ? Math.max(0, (end?.length ?? 0) + from) : from;
  }

  /** Reads the end of the stream; undefined when the reader was given up. */
  private async readEnd(): Promise<StoredStream | undefined> {
    const { hub, runId, stream } = this.source;
    const found = await hub.untilRead(
      () => readStreamEnd(hub.database, runId, stream),
      () => this.isOver,
    );
    if (!found && !this.isOver) throw new RunNotFoundError(runId);
    return found;
  }
}
