import { StreamLimitError } from '../core/errors/index.js';
import type { OwnedRun } from '../core/run.js';
import { MAX_STREAMS } from '../core/stream.js';
import { setImmediate, sleep } from '../core/timers.js';
import type { ChunkAuthor, StreamPort, WrittenChunk } from '../engine/stream-port.js';
import type { StreamEnd } from '../store/sql/streams.js';
import type { Journal } from '../store/journal.js';
import { isRefusal } from './refusals.js';
import { sizeOf, StreamBuffer, type PassOrigin } from './stream-buffer.js';

/** Bytes that a run may have written and the database not yet stored. */
const MAX_BUFFERED_BYTES = 1 << 20;
/** Pause before a failed lookup is repeated, in milliseconds. */
const LOOKUP_PAUSE_MS = 1_000;

/** Services of the worker that the streams of a run use. */
export interface RunStreamsServices {
  readonly journal: Journal;
  /** Reads the end of a stream; undefined when the stream has no chunks. */
  readonly readEnd: (runId: string, stream: string) => Promise<StreamEnd | undefined>;
  /** Called when chunks of the run have become durable. */
  readonly streamed: (runId: string) => void;
}

/** Code that waits until the buffer has room. */
interface RoomWaiter {
  readonly by: ChunkAuthor['by'];
  readonly resolve: () => void;
}

/**
 * Streams of a run that this process executes. Collects the chunks of each stream while the journal
 * writes the ones before them, so that a flush carries many.
 *
 * Chunks become durable before everything that the run submits to the journal after them. So the
 * result of a step never becomes durable without the chunks that its body wrote.
 */
export class RunStreams implements StreamPort {
  private readonly buffers = new Map<string, StreamBuffer>();
  private bytes = 0;
  private waiting: RoomWaiter[] = [];
  private isClosed = false;
  private scheduled = false;

  constructor(
    private readonly run: OwnedRun,
    private readonly services: RunStreamsServices,
    private readonly origin: PassOrigin,
    private readonly fenced: (error: Error) => void,
  ) {}

  async write(chunk: WrittenChunk): Promise<void> {
    if (this.isClosed) return;
    const buffer = this.bufferOf(chunk.stream);
    const append = (): void => {
      const { size } = buffer;
      try {
        buffer.append(chunk);
      } finally {
        // A refused chunk may leave a marker in the buffer.
        this.bytes += buffer.size - size;
        this.schedule();
      }
    };
    if (buffer.isLookingUp && chunk.accept === 'checked') await buffer.unchecked.add(chunk.author.by, append);
    else append();
    // The run has left during the lookup, and nothing frees its buffer any more.
    if (this.isClosed) return;
    const { journal } = this.services;
    if (this.bytes <= MAX_BUFFERED_BYTES && !journal.isFull) return;
    if (this.bytes > MAX_BUFFERED_BYTES) {
      await new Promise<void>((resolve) => this.waiting.push({ by: chunk.author.by, resolve }));
    }
    await journal.ready();
  }

  async flush(stream: string, by: ChunkAuthor['by']): Promise<void> {
    if (this.buffers.get(stream)?.isLookingUp) await this.unchecked();
    await this.buffers.get(stream)?.stored(by);
  }

  unchecked(): Promise<void> | undefined {
    const lookups = [...this.buffers.values()].flatMap(({ lookup }) => lookup ?? []);
    return lookups.length === 0 ? undefined : Promise.all(lookups).then(() => undefined);
  }

  /**
   * Submits chunks to the journal, before another transition of the run. A stream that is being
   * looked up has only chunks of `run`, which a replay repeats.
   */
  submitAll(): void {
    for (const buffer of this.buffers.values()) while (!buffer.isLookingUp && !buffer.isEmpty) this.submit(buffer);
  }

  /** Resolves when all chunks that were written so far are stored. */
  async allStored(): Promise<void> {
    this.submitAll();
    for (const buffer of this.buffers.values()) await buffer.stored('step');
  }

  /** Drops all chunks that are not in the journal, because the run leaves this process. */
  close(): void {
    this.isClosed = true;
    for (const buffer of this.buffers.values()) buffer.close();
    // A body gets its answer, and its next write is refused. `run` of a pass that was given up must
    // not continue.
    for (const { by, resolve } of this.waiting.splice(0)) if (by === 'step') resolve();
  }

  private bufferOf(stream: string): StreamBuffer {
    let buffer = this.buffers.get(stream);
    if (!buffer) {
      if (this.buffers.size >= MAX_STREAMS) throw new StreamLimitError(stream, `${MAX_STREAMS} streams of a run`);
      buffer = new StreamBuffer(stream, this.origin);
      this.buffers.set(stream, buffer);
      if (this.origin.mayHaveChunks) buffer.lookup = this.lookUp(buffer);
    }
    return buffer;
  }

  /**
   * Finds out what earlier passes have stored, and whether the stream takes further chunks. A
   * replay then does not send its chunks again.
   */
  private async lookUp(buffer: StreamBuffer): Promise<void> {
    while (!this.isClosed) {
      try {
        const end = await this.services.readEnd(this.run.id, buffer.name);
        if (end && !this.isClosed) this.freed(buffer.know(end));
        break;
      } catch {
        // The flush reports an unavailable database.
        await sleep(LOOKUP_PAUSE_MS, undefined, { ref: false });
      }
    }
    buffer.lookedUp();
    this.schedule();
  }

  /** Submits chunks at the end of this turn of the event loop, so that they share a transition. */
  private schedule(): void {
    if (this.scheduled || this.isClosed) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      if (this.isClosed) return;
      for (const buffer of this.buffers.values()) {
        if (!buffer.isInJournal && !buffer.isLookingUp && !buffer.isEmpty) this.submit(buffer);
      }
    });
  }

  private submit(buffer: StreamBuffer): void {
    const { id, epoch } = this.run;
    const chunks = buffer.take();
    const size = sizeOf(chunks);
    this.services.journal.submit(
      { kind: 'chunks', runId: id, epoch, stream: buffer.name, chunks },
      () => {
        this.freed(size);
        buffer.noteStored(chunks);
        this.services.streamed(id);
        if (!buffer.isEmpty) this.schedule();
      },
      (error) => {
        this.freed(size);
        if (isRefusal(error)) return this.freed(buffer.fail(error));
        buffer.close();
        this.fenced(error);
      },
    );
  }

  private freed(bytes: number): void {
    this.bytes -= bytes;
    if (this.bytes > MAX_BUFFERED_BYTES) return;
    for (const { resolve } of this.waiting.splice(0)) resolve();
  }
}
