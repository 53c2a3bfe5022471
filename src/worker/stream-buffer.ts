import { StreamClosedError, StreamLimitError } from '../core/errors/index.js';
import { MAX_STREAM_BYTES, MAX_STREAM_CHUNKS, type ChunkKind, type NewChunk } from '../core/stream.js';
import type { ChunkAuthor, WrittenChunk } from '../engine/stream-port.js';
import type { StreamEnd } from '../store/sql/streams.js';
import { UncheckedWrites } from './unchecked-writes.js';

/** Chunks of one transition at most, and their bytes. */
const MAX_BATCH_CHUNKS = 500;
const MAX_BATCH_BYTES = 256 << 10;

/**
 * Room for the positions of one generation. A retry by an operator begins at the next multiple, so
 * that its positions follow all earlier ones.
 */
const POSITIONS = 2 ** 32;

/** Counts all chunks of this process. A chunk that is written later has a greater ordinal. */
let ordinals = 0;

/** Facts about the pass that writes to streams. */
export interface PassOrigin {
  /** Number of retries by operators before the pass. */
  readonly generation: number;
  /** True when an earlier pass may have written chunks. */
  readonly mayHaveChunks: boolean;
  /** Returns true when the step had a result when the pass began. */
  readonly isRecorded: (stepKey: string) => boolean;
}

/** Code that waits until chunks are durable. */
interface FlushWaiter {
  /** Ordinal of the last chunk that must have been stored. */
  readonly upTo: number;
  readonly by: ChunkAuthor['by'];
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Chunks of one stream that are not yet in the journal, and what is known about the stream. */
export class StreamBuffer {
  /** Bytes in memory of the chunks that are not in the journal. */
  size = 0;
  /** Lookup of the stored part of the stream; undefined when it is over, or not needed. */
  lookup: Promise<void> | undefined;
  /** Error with which the database refused a chunk. */
  failure: Error | undefined;
  private pending: NewChunk[] = [];
  readonly unchecked = new UncheckedWrites();
  /** First ordinals of the transitions in the journal. */
  private readonly inJournal = new Set<number>();
  private waiters: FlushWaiter[] = [];
  /** Size of the stream, as far as it is known. */
  private chunks = 0;
  private bytes = 0;
  /** Position of the last write of `run` that an earlier pass has stored. */
  private storedPosition = 0;
  /**
   * Number of writes of `run` before the end that a step has stored in an earlier generation, or
   * -1. A retry after that step keeps these writes, because nothing can be written after the end.
   */
  private keptWrites = -1;
  /**
   * Key of the step that closed the stream, or null for `run`; undefined while the stream is open.
   */
  private closedBy: string | null | undefined;
  /** Executions of bodies that wrote to the stream, and the keys of their steps. */
  private readonly executions = new WeakSet<object>();
  private readonly steps = new Set<string>();
  private lastGeneration = 0;
  /** Authors whose next chunk is the first one of their execution. Null stands for `run`. */
  private readonly opening = new Set<string | null>([null]);

  constructor(
    readonly name: string,
    private readonly origin: PassOrigin,
  ) {}

  get isEmpty(): boolean {
    return this.pending.length === 0;
  }

  get isInJournal(): boolean {
    return this.inJournal.size > 0;
  }

  get isLookingUp(): boolean {
    return this.lookup !== undefined;
  }

  /** Ends the lookup, and appends the chunks that have waited for it. */
  lookedUp(): void {
    this.lookup = undefined;
    this.unchecked.appendAll();
  }

  /**
   * Notes what is already stored. Drops the writes of `run` that are stored, that follow the end of
   * the stream, or that exceed a limit.
   *
   * @returns number of dropped bytes
   */
  know({ length, bytes, runPosition, closedBy }: Omit<StreamEnd, 'expiredTo'>): number {
    const before = this.size;
    this.storedPosition = runPosition;
    const isOver = closedBy !== undefined && this.knowEnd(closedBy, runPosition) === 'counts';
    const accepted = this.pending;
    this.pending = [];
    this.size = 0;
    this.chunks = length;
    this.bytes = bytes;
    for (const chunk of accepted) {
      if (chunk.runPosition !== null && this.isStored(Number(chunk.runPosition))) continue;
      if (!isOver && this.limitFor(chunk) === undefined) this.keep(chunk);
      else if (chunk.isFirst) this.opening.add(chunk.stepKey);
    }
    this.settle();
    return before - this.size;
  }

  /**
   * Appends a chunk. Puts a reset marker before the first chunk of a new attempt. The marker stays
   * when a limit refuses the chunk, because the chunks of earlier attempts no longer count.
   *
   * @throws StreamLimitError, StreamClosedError
   */
  append({ kind, data, author }: WrittenChunk): void {
    if (this.failure) throw new StreamClosedError(this.name, 'the database refused a chunk', { cause: this.failure });
    if (author.by === 'run') {
      const first = author.generation * POSITIONS;
      const position = first + author.position;
      const isRepeated = author.generation > this.lastGeneration;
      if (this.isStored(position)) return void (this.lastGeneration = author.generation);
      if (this.isClosedFor(kind)) return;
      if (isRepeated) this.push('reset', null, null, null, first);
      this.lastGeneration = author.generation;
      this.push(kind, null, null, data, position);
    } else {
      const { stepKey, attempt, execution } = author;
      if (!this.executions.has(execution)) {
        if (this.closedBy === stepKey) this.closedBy = undefined;
        if (this.isClosedFor(kind)) return;
        const hasWritten = this.steps.has(stepKey);
        const isRepeated = attempt > 1 || this.origin.mayHaveChunks || hasWritten;
        this.executions.add(execution);
        this.steps.add(stepKey);
        this.opening.add(stepKey);
        if (isRepeated) this.push('reset', stepKey, attempt, null, null, hasWritten ? 'needed' : 'uncertain');
      } else if (this.isClosedFor(kind)) return;
      this.push(kind, stepKey, attempt, data, null);
    }
    if (kind === 'end') this.closedBy = author.by === 'run' ? null : author.stepKey;
  }

  /** Removes the chunks of the next transition from the buffer. */
  take(): readonly NewChunk[] {
    let count = 0;
    for (let bytes = 0; count < this.pending.length && count < MAX_BATCH_CHUNKS && bytes < MAX_BATCH_BYTES; count++) {
      bytes += this.pending[count]!.bytes;
    }
    const taken = this.pending.splice(0, count);
    this.size -= sizeOf(taken);
    this.inJournal.add(firstOrdinal(taken));
    return taken;
  }

  /** Notes that the chunks of a transition have been stored. */
  noteStored(chunks: readonly NewChunk[]): void {
    this.inJournal.delete(firstOrdinal(chunks));
    this.settle();
  }

  /** Resolves when every chunk that was appended so far has been stored. */
  stored(by: ChunkAuthor['by']): Promise<void> {
    if (this.failure) return Promise.reject(this.failure);
    if (this.isEmpty && !this.isInJournal) return Promise.resolve();
    return new Promise((resolve, reject) => this.waiters.push({ upTo: ordinals, by, resolve, reject }));
  }

  /** Drops the chunks that are not in the journal. @returns their bytes */
  fail(error: Error): number {
    this.failure = error;
    const dropped = this.size;
    this.pending = [];
    this.size = 0;
    for (const { reject } of this.waiters.splice(0)) reject(error);
    return dropped;
  }

  /**
   * Drops everything, because the run leaves this process. Rejects the waits of step bodies. Waits
   * of `run` never settle, because the code of a pass that was given up does not continue.
   */
  close(): void {
    this.pending = [];
    this.size = 0;
    this.unchecked.drop();
    const error = new StreamClosedError(this.name, 'this worker no longer executes the step');
    for (const { by, reject } of this.waiters.splice(0)) if (by === 'step') reject(error);
  }

  /** Resolves the waits for chunks that come before all unstored ones. */
  private settle(): void {
    const unstored = Math.min(...this.inJournal, firstOrdinal(this.pending));
    const done = this.waiters.filter(({ upTo }) => upTo < unstored);
    this.waiters = this.waiters.filter(({ upTo }) => upTo >= unstored);
    for (const { resolve } of done) resolve();
  }

  /**
   * Honours a stored end whose author is not executed again: a step with a result, or `run` in this
   * generation. Otherwise a reset takes the end back, so that readers continue.
   */
  private knowEnd(author: string | null, runPosition: number): 'counts' | 'taken back' {
    const { generation, isRecorded } = this.origin;
    const isOlder = Math.floor(runPosition / POSITIONS) < generation;
    if (author !== null && isRecorded(author)) {
      this.closedBy ??= author;
      if (isOlder) this.keptWrites = runPosition % POSITIONS;
      return 'counts';
    }
    if (author === null && !isOlder) {
      this.closedBy ??= author;
      return 'counts';
    }
    if (author !== null) {
      if (!this.steps.has(author)) this.push('reset', author, null, null, null);
    } else if (this.lastGeneration < generation) {
      this.push('reset', null, null, null, generation * POSITIONS);
      this.lastGeneration = generation;
    }
    return 'taken back';
  }

  /** Returns true for a write of `run` that is stored, or that a stored one stands for. */
  private isStored(position: number): boolean {
    return position <= this.storedPosition || position % POSITIONS <= this.keptWrites;
  }

  /** Returns true when a chunk of this kind changes nothing. @throws StreamClosedError */
  private isClosedFor(kind: 'data' | 'end'): boolean {
    if (this.closedBy === undefined) return false;
    if (kind === 'end') return true;
    throw new StreamClosedError(this.name, 'it was closed');
  }

  /** @param reset `uncertain` for one that the flush omits when the step has no earlier chunk */
  private push(
    kind: ChunkKind,
    stepKey: string | null,
    attempt: number | null,
    data: string | null,
    position: number | null,
    reset: 'needed' | 'uncertain' = 'needed',
  ): void {
    const bytes = data === null ? 0 : Buffer.byteLength(data);
    const limit = this.limitFor({ kind, bytes });
    if (limit !== undefined) throw new StreamLimitError(this.name, limit);
    const isFirst = kind === 'reset' ? reset === 'uncertain' : this.opening.delete(stepKey);
    const runPosition = position === null ? null : String(position);
    this.keep({ kind, stepKey, attempt, data, bytes, runPosition, ordinal: String(++ordinals), isFirst });
  }

  /** Returns the limit that a chunk exceeds. Markers have room beyond it, because none may fail. */
  private limitFor({ kind, bytes }: Pick<NewChunk, 'kind' | 'bytes'>): string | undefined {
    if (kind !== 'data') return undefined;
    if (this.chunks >= MAX_STREAM_CHUNKS) return `${MAX_STREAM_CHUNKS} chunks`;
    return this.bytes + bytes > MAX_STREAM_BYTES ? `${MAX_STREAM_BYTES} bytes` : undefined;
  }

  private keep(chunk: NewChunk): void {
    // The flush may leave an uncertain reset out.
    if (chunk.kind !== 'reset' || !chunk.isFirst) this.chunks++;
    this.bytes += chunk.bytes;
    this.size += sizeOf([chunk]);
    this.pending.push(chunk);
  }
}

function firstOrdinal([first]: readonly NewChunk[]): number {
  return first ? Number(first.ordinal) : Number.POSITIVE_INFINITY;
}

/** Returns the bytes that chunks take in memory. A marker counts too. */
export function sizeOf(chunks: readonly NewChunk[]): number {
  return chunks.reduce((sum, { bytes }) => sum + bytes + 100, 0);
}
