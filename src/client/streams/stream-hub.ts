import type { Observable } from 'rxjs';

import { clearImmediate, clearTimeout, setImmediate, setTimeout, sleep } from '../../core/timers.js';
import { RunNotFoundError } from '../../core/errors/index.js';
import { isTerminal } from '../../core/run.js';
import type { Database } from '../../store/database.js';
import type { StreamMessage } from './stream-message.js';
import { OpenReaders } from './open-readers.js';
import type { StreamEvent } from './stream-event.js';
import { readChunks, type ChunkPage, type ChunkRequest } from '../../store/sql/streams.js';

/** Chunks that a reader gets at once, at most. */
const PAGE_CHUNKS = 200;
/** Readers whose chunks one query reads, at most. Readers at the same place count once. */
const QUERY_READERS = 2_000;
/** Shortest and longest pause between two polls, in milliseconds. */
const MIN_POLL_MS = 25;
const MAX_POLL_MS = 1_000;

/**
 * Database from which a reader gets its next chunks. The replica answers only with pages that are
 * not the last of the stream. The primary answers with the last page.
 */
export type ChunkSource = 'replica' | 'primary';

export interface StreamHubOptions {
  /** Database through which old chunks are read; undefined without a read replica. */
  readonly replica: Database | undefined;
  /**
   * True while notifications from other processes arrive. Polling is then only a fallback, and uses
   * the longest pause.
   */
  readonly receivesNotices: () => boolean;
  /**
   * Creates the Observable of `handle.sse`. Given from outside, because the command line must not
   * load rxjs, which takes long.
   */
  readonly messagesOf: (open: () => AsyncIterableIterator<StreamEvent>) => Observable<StreamMessage>;
  readonly failed: (error: unknown) => void;
}

/** Milliseconds for which open server-sent events may end when the application closes. */
const ENDING_MS = 50;

/** A reader that waits for its next chunks. */
interface Waiter extends ChunkRequest {
  source: ChunkSource;
  readonly resolve: (page: ChunkPage) => void;
  readonly reject: (error: Error) => void;
}

/** A wait for chunks that can be given up. */
export interface PageWait {
  readonly page: Promise<ChunkPage>;
  /** Gives the wait up: `page` never settles then. */
  cancel(): void;
}

/**
 * Reads streams for all readers of this process. A reader asks for its next chunks when it has used
 * up the former ones. So a slow reader has one page in memory, and delays no other reader.
 *
 * Notifications tell which runs have written. They can be lost, so one query for all waiting
 * readers also polls. Without notifications, the pauses between polls are short while chunks
 * arrive, and grow while none do.
 */
export class StreamHub {
  /** Waiting readers, by run. */
  private readonly waiters = new Map<string, Set<Waiter>>();
  /** Readers whose chunks the next query reads. */
  private readonly due = new Set<Waiter>();
  private isReading = false;
  private next: NodeJS.Immediate | undefined;
  private timer: NodeJS.Timeout | undefined;
  private pauseMs = MIN_POLL_MS;
  private closedWith: Error | undefined;
  private readonly messages = new OpenReaders();

  constructor(
    readonly database: Database,
    private readonly options: StreamHubOptions,
  ) {}

  /** Reads a stream as server-sent events, once for each subscriber. */
  messagesOf(open: () => AsyncIterableIterator<StreamEvent>): Observable<StreamMessage> {
    return this.options.messagesOf(() => this.messages.track(open()));
  }

  /**
   * Ends the server-sent events of this process, because its HTTP server waits for open responses
   * when it closes. The browsers connect again, to another process. Resolves when the responses
   * have had time to end: the server closes idle connections at once, and others after 5 seconds.
   */
  async endMessages(): Promise<void> {
    if (this.messages.end() > 0) await sleep(ENDING_MS);
  }

  /** Number of readers that wait for chunks. */
  get size(): number {
    let size = 0;
    for (const waiters of this.waiters.values()) size += waiters.size;
    return size;
  }

  /**
   * Waits for the chunks of a stream from a place on. Resolves with at least one chunk, or with
   * none when the run has ended.
   *
   * @throws RunNotFoundError, ClosedError by the promise
   */
  wait(request: ChunkRequest, source: ChunkSource): PageWait {
    if (this.closedWith) return { page: Promise.reject(this.closedWith), cancel: () => undefined };
    let waiter: Waiter | undefined;
    const page = new Promise<ChunkPage>((resolve, reject) => {
      waiter = { ...request, source, resolve, reject };
      const others = this.waiters.get(request.runId);
      if (others) others.add(waiter);
      else this.waiters.set(request.runId, new Set([waiter]));
      this.due.add(waiter);
    });
    this.readSoon();
    this.schedule();
    return { page, cancel: () => this.remove(waiter!) };
  }

  /**
   * Repeats a query of a reader while the database is away. Returns undefined when the reader was
   * given up before the query had an answer.
   *
   * @throws ClosedError
   */
  async untilRead<T>(query: () => Promise<T>, isGivenUp: () => boolean): Promise<T | undefined> {
    while (!isGivenUp()) {
      if (this.closedWith) throw this.closedWith;
      try {
        return await query();
      } catch (error) {
        this.options.failed(error);
        await sleep(MAX_POLL_MS);
      }
    }
    return undefined;
  }

  /** Reads the streams of runs that have written to them, or have ended. */
  noticed(runIds: readonly string[]): void {
    for (const runId of runIds) for (const waiter of this.waiters.get(runId) ?? []) this.due.add(waiter);
    if (this.due.size > 0) this.readSoon();
  }

  /** Reads the streams of all waiting readers, because notifications may have been missed. */
  refresh(): void {
    this.noticed([...this.waiters.keys()]);
  }

  close(error: Error): void {
    this.closedWith = error;
    for (const waiters of this.waiters.values()) {
      for (const waiter of waiters) {
        this.remove(waiter);
        waiter.reject(error);
      }
    }
    clearImmediate(this.next);
  }

  private readSoon(): void {
    if (!this.isReading) this.next ??= setImmediate(() => void this.readDue());
  }

  private async readDue(): Promise<void> {
    this.next = undefined;
    if (this.closedWith) return;
    const groups = this.takeDue();
    if (groups.length === 0) return;
    this.isReading = true;
    try {
      const recent = groups.filter((group) => group[0]!.source === 'primary');
      // A replica that does not answer must not delay the readers of new chunks.
      void this.readOld(groups.filter((group) => !recent.includes(group)));
      const pages = recent.length > 0 ? await this.pagesOf(this.database, recent) : [];
      recent.forEach((group, index) => this.deliver(group, pages[index]));
    } catch (error) {
      // The next poll reads again.
      this.options.failed(error);
    }
    this.isReading = false;
    if (this.due.size > 0) this.readSoon();
  }

  private pagesOf(database: Database, groups: readonly Waiter[][]): Promise<(ChunkPage | undefined)[]> {
    return readChunks(
      database,
      groups.map(([first]) => first!),
      PAGE_CHUNKS,
    );
  }

  /**
   * Reads old chunks from the replica. A page that may be the last one of its stream is read again
   * from the primary, because the replica lags. Never rejects.
   */
  private async readOld(groups: readonly Waiter[][]): Promise<void> {
    const { replica } = this.options;
    if (groups.length === 0) return;
    const pages = replica ? await this.pagesOf(replica, groups).catch(() => []) : [];
    groups.forEach((group, index) => {
      if (pages[index]?.rest === 'cut') return this.deliver(group, pages[index]);
      for (const waiter of group) {
        waiter.source = 'primary';
        if (this.waiters.get(waiter.runId)?.has(waiter)) this.due.add(waiter);
      }
    });
    if (this.due.size > 0) this.readSoon();
  }

  /**
   * Takes the due readers, grouped by stream and place. The readers of a group get the same chunks.
   */
  private takeDue(): Waiter[][] {
    const groups = new Map<string, Waiter[]>();
    for (const waiter of this.due) {
      if (!this.options.replica) waiter.source = 'primary';
      const key = `${waiter.source}\n${waiter.runId}\n${waiter.stream}\n${waiter.from}`;
      const group = groups.get(key);
      if (!group && groups.size === QUERY_READERS) continue;
      if (group) group.push(waiter);
      else groups.set(key, [waiter]);
      this.due.delete(waiter);
    }
    return [...groups.values()];
  }

  private deliver(group: readonly Waiter[], page: ChunkPage | undefined): void {
    for (const waiter of group) {
      if (!this.waiters.get(waiter.runId)?.has(waiter)) continue;
      if (!page) {
        this.due.add(waiter);
        continue;
      }
      const { status, chunks } = page;
      if (status !== undefined && chunks.length === 0 && !isTerminal(status)) continue;
      this.remove(waiter);
      if (chunks.length > 0) this.pauseMs = MIN_POLL_MS;
      if (status === undefined) waiter.reject(new RunNotFoundError(waiter.runId));
      else waiter.resolve(page);
    }
  }

  private schedule(): void {
    const { receivesNotices } = this.options;
    this.timer ??= setTimeout(
      () => {
        this.timer = undefined;
        this.pauseMs = Math.min(this.pauseMs * 1.5, MAX_POLL_MS);
        this.refresh();
        if (this.waiters.size > 0) this.schedule();
      },
      receivesNotices() ? MAX_POLL_MS : this.pauseMs,
    );
  }

  private remove(waiter: Waiter): void {
    this.due.delete(waiter);
    const waiters = this.waiters.get(waiter.runId);
    waiters?.delete(waiter);
    if (waiters?.size === 0) this.waiters.delete(waiter.runId);
    // The timer would keep the process alive.
    if (this.waiters.size > 0) return;
    clearTimeout(this.timer);
    this.timer = undefined;
  }
}
