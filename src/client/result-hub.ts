import { clearImmediate, clearTimeout, MAX_TIMER_MS, setImmediate, setTimeout } from '../core/timers.js';
import { ResultTimeoutError, RunNotFoundError } from '../core/errors/index.js';
import type { Payloads } from '../core/payloads.js';
import { isTerminal } from '../core/run.js';
import { within } from '../core/async.js';
import type { Database } from '../store/database.js';
import { findMissingLinks } from '../store/sql/chains.js';
import { waitingForOf } from './queries/waiting-for.js';
import { describeRun, readRunEnds, type RunDescriptionRow, type RunEnd } from '../store/sql/read-runs.js';

interface Waiter {
  runId: string;
  readonly follow: 'chain' | 'none';
  readonly resolve: (end: RunEnd) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout | undefined;
}

export interface ResultHubOptions {
  /** How results are read. */
  readonly payloads: Payloads;
  readonly pollIntervalMs: number;
  readonly maxPollIntervalMs: number;
  /** Whether other processes' notices are heard just now: then there is no hurry to ask. */
  readonly receivesNotices: () => boolean;
  readonly failed: (error: unknown) => void;
  /** Milliseconds since the epoch, by the database's clock. */
  readonly now: () => number;
  /** Finds those of the runs that no process will ever execute; absent where a worker may be on its way. */
  readonly findUnserved?: ((runIds: readonly string[]) => Promise<ReadonlyMap<string, Error>>) | undefined;
}

/** The pause between two looks for runs that nobody executes. */
const LOOK_UNSERVED_MS = 1_000;
const QUERY_IDS = 1_000;
/** Lookups at a time. What is asked for meanwhile goes together in the next one. */
const MAX_ASKS = 2;
/** Timeouts that are explained at a time, and how long a caller waits for that. */
const MAX_EXPLAINED = 20;
const EXPLAIN_MS = 1_000;

/**
 * Everybody in this process who waits for a run's result. Ends of runs executed here are told directly, of others by notice; beside that one
 * shared query asks for all of them now and then, at growing intervals, because notices may be lost.
 */
export class ResultHub {
  private readonly waiters = new Map<string, Set<Waiter>>();
  private readonly unasked = new Set<string>();
  private asks = 0;
  private explaining = 0;
  private roundEnd: NodeJS.Immediate | undefined;
  private rounds = 0;
  private timer: NodeJS.Timeout | undefined;
  private asking: NodeJS.Immediate | undefined;
  private unserved: NodeJS.Timeout | undefined;
  private pause: number;
  private closedWith: Error | undefined;

  constructor(
    private readonly database: Database,
    private readonly options: ResultHubOptions,
  ) {
    this.pause = options.pollIntervalMs;
  }

  /** Milliseconds since the epoch, by the database's clock. */
  now(): number {
    return this.options.now();
  }

  get payloads(): Payloads {
    return this.options.payloads;
  }

  /**
   * The current round of the event loop, as a number. A run that was created in this round has not
   * ended: its end takes at least one answer of the database.
   */
  get round(): number {
    this.roundEnd ??= setImmediate(() => {
      this.roundEnd = undefined;
      this.rounds++;
    });
    return this.rounds;
  }

  /**
   * Resolves when the run has ended.
   *
   * @param ask whether the run may have ended already: not when it has just been created. All who ask in the same moment share a lookup
   * @param follow whether to wait for the run that goes on in its place where it is continued
   * @throws RunNotFoundError, ResultTimeoutError
   */
  wait(runId: string, timeoutMs: number | undefined, ask: 'now' | 'later', follow: 'chain' | 'none' = 'chain'): Promise<RunEnd> {
    if (this.closedWith) return Promise.reject(this.closedWith);
    return new Promise((resolve, reject) => {
      const expire = (): void => {
        this.remove(waiter);
        void this.timedOut(runId, timeoutMs!).then(reject);
      };
      const timer = timeoutMs === undefined ? undefined : setTimeout(expire, Math.min(timeoutMs, MAX_TIMER_MS));
      const waiter: Waiter = { runId, follow, resolve, reject, timer };
      const others = this.waiters.get(runId);
      if (others) others.add(waiter);
      else this.waiters.set(runId, new Set([waiter]));
      if (ask === 'now') this.askFor([runId]);
      this.schedule();
      if (this.options.findUnserved) this.watchUnserved(this.options.findUnserved);
    });
  }

  private watchUnserved(find: NonNullable<ResultHubOptions['findUnserved']>): void {
    this.unserved ??= setTimeout(() => {
      const failed = (error: unknown): ReadonlyMap<string, Error> => {
        this.options.failed(error);
        return new Map();
      };
      void find([...this.waiters.keys()])
        .catch(failed)
        .then((errors) => {
          this.unserved = undefined;
          for (const [runId, error] of errors) this.fail(runId, error);
          if (this.waiters.size > 0 && !this.closedWith) this.watchUnserved(find);
        });
    }, LOOK_UNSERVED_MS).unref();
  }

  /** The error of a timeout, with how the run is. Without that where it is not known at once: the caller has waited long enough. */
  private async timedOut(runId: string, timeoutMs: number): Promise<ResultTimeoutError> {
    if (this.explaining >= MAX_EXPLAINED) return new ResultTimeoutError(runId, timeoutMs);
    this.explaining++;
    try {
      let row: RunDescriptionRow | undefined;
      await within(
        EXPLAIN_MS,
        describeRun(this.database, runId, 'current').then((found) => (row = found)),
      );
      if (!row) return new ResultTimeoutError(runId, timeoutMs);
      const status = row.isBlocked ? 'blocked' : row.status;
      return new ResultTimeoutError(
        runId,
        timeoutMs,
        status,
        waitingForOf(row).map(({ text }) => text),
      );
    } catch {
      return new ResultTimeoutError(runId, timeoutMs);
    } finally {
      this.explaining--;
    }
  }

  /** A run has ended, with what. */
  ended(runId: string, end: RunEnd): void {
    const waiters = this.waiters.get(runId);
    if (!waiters) return;
    this.waiters.delete(runId);
    this.unasked.delete(runId);
    const following = new Set<Waiter>();
    for (const waiter of waiters) {
      if (end.continuedAs !== null && waiter.follow === 'chain') {
        following.add(waiter);
        continue;
      }
      clearTimeout(waiter.timer);
      waiter.resolve(end);
    }
    if (end.continuedAs !== null && following.size > 0) this.follow(following, end.continuedAs);
    this.settle();
  }

  /** Whoever waits for a run waits for the one that goes on in its place. */
  private follow(waiters: Set<Waiter>, runId: string): void {
    for (const waiter of waiters) waiter.runId = runId;
    const others = this.waiters.get(runId);
    this.waiters.set(runId, others ? new Set([...others, ...waiters]) : waiters);
    this.askFor([runId]);
  }

  /** Runs are said to have ended. */
  noticed(runIds: readonly string[]): void {
    const awaited = runIds.filter((id) => this.waiters.has(id));
    if (awaited.length > 0) this.askFor(awaited);
  }

  /** Notices may have been missed: ask for everything. */
  refresh(): void {
    if (this.waiters.size > 0) this.askFor([...this.waiters.keys()]);
  }

  close(error: Error): void {
    this.closedWith = error;
    for (const runId of this.waiters.keys()) this.fail(runId, error);
    clearTimeout(this.timer);
    clearTimeout(this.unserved);
    clearImmediate(this.asking);
    clearImmediate(this.roundEnd);
  }

  private askFor(runIds: readonly string[]): void {
    for (const id of runIds) this.unasked.add(id);
    if (this.asks < MAX_ASKS) this.asking ??= setImmediate(() => void this.askUnasked());
  }

  private async askUnasked(): Promise<void> {
    this.asking = undefined;
    if (this.closedWith) return;
    const ids = [...this.unasked];
    this.unasked.clear();
    this.asks++;
    await this.ask(ids);
    this.asks--;
    if (this.unasked.size > 0) this.askFor([]);
  }

  private schedule(): void {
    const { pollIntervalMs, maxPollIntervalMs, receivesNotices } = this.options;
    this.timer ??= setTimeout(
      () => {
        this.timer = undefined;
        this.pause = receivesNotices() ? maxPollIntervalMs : Math.min(this.pause * 1.5, maxPollIntervalMs);
        void this.ask([...this.waiters.keys()]).then(() => this.waiters.size > 0 && !this.closedWith && this.schedule());
      },
      receivesNotices() ? maxPollIntervalMs : this.pause,
    );
    if (this.waiters.size <= 1) this.pause = pollIntervalMs;
  }

  private async ask(ids: readonly string[]): Promise<void> {
    for (let from = 0; from < ids.length; from += QUERY_IDS) {
      const some = ids.slice(from, from + QUERY_IDS);
      try {
        const ends = await readRunEnds(this.database, some);
        const missing = some.filter((id) => !ends.has(id));
        const links = missing.length === 0 ? undefined : await findMissingLinks(this.database, missing);
        for (const id of some) {
          const end = ends.get(id);
          if (!end) this.fail(id, new RunNotFoundError(id, links?.get(id)));
          else if (end.runId !== id) this.ended(id, { status: 'completed', output: null, error: null, continuedAs: end.runId });
          else if (isTerminal(end.status)) this.ended(id, { ...end, continuedAs: null });
        }
      } catch (error) {
        this.options.failed(error);
      }
    }
  }

  private fail(runId: string, error: Error): void {
    for (const waiter of this.waiters.get(runId) ?? []) {
      clearTimeout(waiter.timer);
      waiter.reject(error);
    }
    this.waiters.delete(runId);
    this.settle();
  }

  private remove(waiter: Waiter): void {
    const { runId } = waiter;
    const waiters = this.waiters.get(runId);
    waiters?.delete(waiter);
    if (waiters?.size === 0) this.waiters.delete(runId);
    this.settle();
  }

  /** A timer without anybody who waits would keep the process alive. */
  private settle(): void {
    if (this.waiters.size > 0) return;
    clearTimeout(this.timer);
    this.timer = undefined;
  }
}
