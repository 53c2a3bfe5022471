import { checkOptions } from '../../core/check-options.js';
import { InvalidInputError, RunNotFoundError } from '../../core/errors/index.js';
import { checkText } from '../../core/ids.js';
import type { Payloads } from '../../core/payloads.js';
import { isTerminal, type RunStatus } from '../../core/run.js';
import { DEFAULT_STREAM } from '../../core/stream.js';
import { readStreamEnd, type ChunkPage, type StoredChunk } from '../../store/sql/streams.js';
import type { PageWait, StreamHub } from './stream-hub.js';

/** Reason why a stream has ended: it was closed, or its run has ended. */
export type StreamEndState = 'closed' | 'completed' | 'failed' | 'cancelled';

/** What a reader gets from a stream with `form: 'events'`. */
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
      /** Number of chunks and markers in the stream. */
      readonly index: number;
      readonly state: StreamEndState;
    };

/** Options of `handle.stream`. */
export interface StreamOptions {
  /**
   * Place of the first chunk, from 0. A negative number counts from the end: -10 begins with the
   * last ten. (default: 0)
   */
  from?: number;
}

/** Reads one stream of one run, from a place on. */
export interface StreamSource {
  readonly hub: StreamHub;
  readonly payloads: Payloads;
  readonly runId: string;
  readonly stream: string;
  readonly from: number;
}

/** Checks the name of a stream. @throws InvalidInputError */
export function checkStreamName(name: unknown): string {
  return name === undefined ? DEFAULT_STREAM : checkText(name, 'name');
}

/** Checks options of a reader. @throws InvalidInputError */
export function checkStreamOptions(options: StreamOptions & { form?: unknown }): { from: number; form: 'values' | 'events' } {
  const { from = 0, form = 'values' } = checkOptions(options, 'options', ['from', 'form']);
  if (!Number.isSafeInteger(from)) throw new InvalidInputError('options.from', 'must be a whole number');
  if (form !== 'values' && form !== 'events') throw new InvalidInputError('options.form', `must be 'values' or 'events'`);
  return { from, form };
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
  private start = 0;
  private isOver = false;
  /** Settles a `next` that waits while the reader is given up. */
  private stop: (() => void) | undefined;
  /** Calls of `next` are executed one after another. */
  private turn: Promise<unknown> = Promise.resolve();
  /** Steps of which the reader has delivered chunks. */
  private readonly shown = new Set<string | null>();
  private lastKind: StoredChunk['kind'] | undefined;

  constructor(private readonly source: StreamSource) {}

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<StreamEvent<T>>> {
    const turn = this.turn.then(() => this.read());
    this.turn = turn.catch(() => undefined);
    return turn;
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
        await this.load();
      }
    } catch (error) {
      this.isOver = true;
      throw error;
    }
  }

  private nextOfPage(): StreamEvent<T> | undefined {
    const { page } = this;
    while (page && this.position < page.chunks.length) {
      const event = this.toEvent(page.chunks[this.position++]!);
      if (event) return event;
    }
    if (!page || page.rest === 'cut') return undefined;
    const state = endState(page.status!, this.lastKind);
    if (state === 'open') return undefined;
    this.isOver = true;
    this.page = undefined;
    return { type: 'end', index: this.place!, state };
  }

  private toEvent({ index, kind, stepKey, attempt, data, from }: StoredChunk): StreamEvent<T> | undefined {
    this.place = index + 1;
    this.lastKind = kind;
    if (kind === 'reset') {
      // The reader has not delivered the chunks that no longer count, and neither has an earlier
      // reader that stopped at the start of this one.
      if (!this.shown.has(stepKey) && from! >= this.start) return undefined;
      return { type: 'reset', index, from: from!, stepKey: stepKey ?? undefined };
    }
    if (kind === 'end') return undefined;
    this.shown.add(stepKey);
    const value = this.source.payloads.decode(data ?? 'null', `chunk of stream "${this.source.stream}"`) as T;
    return { type: 'chunk', index, value, stepKey: stepKey ?? undefined, attempt: attempt ?? undefined };
  }

  private async load(): Promise<void> {
    const { hub, runId, stream } = this.source;
    this.place ??= this.start = await this.findStart();
    if (this.isOver) return;
    this.page = this.lastKind === 'end' ? await this.findClosed() : undefined;
    this.position = 0;
    if (this.page || this.isOver) return;
    this.wait = hub.wait({ runId, stream, from: this.place });
    const stopped = new Promise<undefined>((resolve) => {
      this.stop = () => resolve(undefined);
    });
    this.page = await Promise.race([this.wait.page, stopped]);
    this.wait = this.stop = undefined;
  }

  /**
   * Returns an empty last page when no chunk follows the mark that closed the stream. The hub would
   * wait for a chunk, because the run may still be executed.
   */
  private async findClosed(): Promise<ChunkPage | undefined> {
    const { hub, runId, stream } = this.source;
    const found = await readStreamEnd(hub.database, runId, stream);
    if (!found) throw new RunNotFoundError(runId);
    const isLast = found.end?.closedBy !== undefined && found.end.length <= this.place!;
    return isLast ? { status: found.status, chunks: [], rest: 'none' } : undefined;
  }

  /** Converts a place that counts from the end. */
  private async findStart(): Promise<number> {
    const { hub, runId, stream, from } = this.source;
    // A reader that continues at a place may have to see how the stream was closed before it.
    if (from === 0) return 0;
    const found = await readStreamEnd(hub.database, runId, stream);
    if (!found) throw new RunNotFoundError(runId);
    const length = found.end?.length ?? 0;
    if (found.end?.closedBy !== undefined) this.lastKind = 'end';
    return from < 0 ? Math.max(0, length + from) : from;
  }
}

/**
 * Returns the state of a stream.
 *
 * @param lastKind kind of the last row of the stream
 */
export function endState(status: RunStatus, lastKind: StoredChunk['kind'] | undefined): StreamEndState | 'open' {
  if (lastKind === 'end') return 'closed';
  return isTerminal(status) ? (status as StreamEndState) : 'open';
}
