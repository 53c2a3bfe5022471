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
  timer: NodeJS.Timeout | undefined;
}

export interface ResultHubOptions {
  /** Decodes the results. */
  readonly payloads: Payloads;
  readonly pollIntervalMs: number;
  readonly maxPollIntervalMs: number;
  /**
   * True while notifications from other processes arrive. Polling is then only a fallback, and uses
   * the longest interval.
   */
  readonly receivesNotices: () => boolean;
  readonly failed: (error: unknown) => void;
  /** Returns the current time of the database's clock, in milliseconds since 1970. */
  readonly now: () => number;
  /**
   * Finds runs that no process can execute, and returns an error for each. Undefined outside of
   * tests, where a worker may still start in another process.
   */
  readonly findUnregistered?: ((runIds: readonly string[]) => Promise<ReadonlyMap<string, Error>>) | undefined;
}

/** Milliseconds between two checks for awaited runs that no process can execute. */
const UNSERVED_CHECK_MS = 1_000;
const QUERY_IDS = 1_000;
/**
 * Maximum number of lookup queries at the same time. Runs that are requested while these queries
 * execute share the next query.
 */
const MAX_LOOKUPS = 2;
/** Maximum number of timeouts whose reason is looked up at the same time. */
const MAX_EXPLAINED = 20;
const EXPLAIN_MS = 1_000;

/**
 * Keeps all waits of this process for results of runs. A run that ends in this process reports its
 * end directly. Notifications report the end of other runs.
 *
 * Notifications can be lost, so one shared query also polls all awaited runs, at growing intervals.
 */
export class ResultHub {
  /** Waiters by run id. Most runs have one waiter, which takes less memory without a Set. */
  private readonly waiters = new Map<string, Waiter | Set<Waiter>>();
  private readonly pending = new Set<string>();
  private lookups = 0;
  private explaining = 0;
  private turnEnd: NodeJS.Immediate | undefined;
  private turns = 0;
  private timer: NodeJS.Timeout | undefined;
  private nextLookup: NodeJS.Immediate | undefined;
  private unregisteredTimer: NodeJS.Timeout | undefined;
  private pause: number;
  private closedWith: Error | undefined;

  constructor(
    private readonly database: Database,
    private readonly options: ResultHubOptions,
  ) {
    this.pause = options.pollIntervalMs;
  }

  /** Returns the current time of the database's clock, in milliseconds since 1970. */
  now(): number {
    return this.options.now();
  }

  get payloads(): Payloads {
    return this.options.payloads;
  }

  /**
   * Number of the current turn of the event loop. A run cannot end in the turn in which it was
   * created, because its end needs at least one response of the database. A wait that begins in
   * this turn therefore needs no lookup at once.
   */
  get turn(): number {
    this.turnEnd ??= setImmediate(() => {
      this.turnEnd = undefined;
      this.turns++;
    });
    return this.turns;
  }

  /**
   * Waits until a run has ended.
   *
   * @param query `'now'` requests a lookup; all waits of one turn of the event loop share it.
   *   `'later'` requests none, for a run that was just created and cannot have ended yet
   * @param follow `'chain'` also waits for the run that continues this run, if there is one
   * @returns the end of the run
   * @throws RunNotFoundError, ResultTimeoutError
   */
  wait(runId: string, timeoutMs: number | undefined, query: 'now' | 'later', follow: 'chain' | 'none' = 'chain'): Promise<RunEnd> {
    if (this.closedWith) return Promise.reject(this.closedWith);
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { runId, follow, resolve, reject, timer: undefined };
      if (timeoutMs !== undefined) this.limit(waiter, timeoutMs);
      const others = this.waiters.get(runId);
      if (others instanceof Set) others.add(waiter);
      else this.waiters.set(runId, others ? new Set([others, waiter]) : waiter);
      if (query === 'now') this.requestLookup([runId]);
      this.schedule();
      if (this.options.findUnregistered) this.watchUnregistered(this.options.findUnregistered);
    });
  }

  /** Ends a wait with an error once its timeout has passed. */
  private limit(waiter: Waiter, timeoutMs: number): void {
    // The wait may move on to another run, and the error names the run that the caller knows.
    const { runId } = waiter;
    const expire = (): void => {
      this.remove(waiter);
      void this.timedOut(runId, timeoutMs).then(waiter.reject);
    };
    waiter.timer = setTimeout(expire, Math.min(timeoutMs, MAX_TIMER_MS));
  }

  private waitersOf(runId: string): Iterable<Waiter> {
    const waiters = this.waiters.get(runId) ?? [];
    return 'runId' in waiters ? [waiters] : waiters;
  }

  private watchUnregistered(find: NonNullable<ResultHubOptions['findUnregistered']>): void {
    this.unregisteredTimer ??= setTimeout(() => {
      const failed = (error: unknown): ReadonlyMap<string, Error> => {
        this.options.failed(error);
        return new Map();
      };
      void find([...this.waiters.keys()])
        .catch(failed)
        .then((errors) => {
          this.unregisteredTimer = undefined;
          for (const [runId, error] of errors) this.fail(runId, error);
          if (this.waiters.size > 0 && !this.closedWith) this.watchUnregistered(find);
        });
    }, UNSERVED_CHECK_MS).unref();
  }

  /**
   * Creates the error for a timeout, and describes the state of the run in it. Leaves out the state
   * when the lookup takes too long, because the caller has waited long enough.
   */
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

  /** Settles the waits for a run that has ended. */
  ended(runId: string, end: RunEnd): void {
    if (!this.waiters.has(runId)) return;
    const waiters = this.waitersOf(runId);
    this.waiters.delete(runId);
    this.pending.delete(runId);
    const following: Waiter[] = [];
    for (const waiter of waiters) {
      if (end.continuedAs !== null && waiter.follow === 'chain') {
        following.push(waiter);
        continue;
      }
      clearTimeout(waiter.timer);
      waiter.resolve(end);
    }
    if (end.continuedAs !== null && following.length > 0) this.follow(following, end.continuedAs);
    this.stopWhenIdle();
  }

  /** Moves waits from a run to the run that continues it. */
  private follow(waiters: readonly Waiter[], runId: string): void {
    for (const waiter of waiters) waiter.runId = runId;
    this.waiters.set(runId, new Set([...this.waitersOf(runId), ...waiters]));
    this.requestLookup([runId]);
  }

  /** Looks up those awaited runs that a notification reports as ended. */
  noticed(runIds: readonly string[]): void {
    const awaited = runIds.filter((id) => this.waiters.has(id));
    if (awaited.length > 0) this.requestLookup(awaited);
  }

  /** Looks up all awaited runs, because notifications may have been missed. */
  refresh(): void {
    if (this.waiters.size > 0) this.requestLookup([...this.waiters.keys()]);
  }

  close(error: Error): void {
    this.closedWith = error;
    for (const runId of this.waiters.keys()) this.fail(runId, error);
    clearTimeout(this.timer);
    clearTimeout(this.unregisteredTimer);
    clearImmediate(this.nextLookup);
    clearImmediate(this.turnEnd);
  }

  private requestLookup(runIds: readonly string[]): void {
    for (const id of runIds) this.pending.add(id);
    if (this.lookups < MAX_LOOKUPS) this.nextLookup ??= setImmediate(() => void this.lookUpPending());
  }

  private async lookUpPending(): Promise<void> {
    this.nextLookup = undefined;
    if (this.closedWith) return;
    const ids = [...this.pending];
    this.pending.clear();
    this.lookups++;
    await this.lookUp(ids);
    this.lookups--;
    if (this.pending.size > 0) this.requestLookup([]);
  }

  private schedule(): void {
    const { pollIntervalMs, maxPollIntervalMs, receivesNotices } = this.options;
    this.timer ??= setTimeout(
      () => {
        this.timer = undefined;
        this.pause = receivesNotices() ? maxPollIntervalMs : Math.min(this.pause * 1.5, maxPollIntervalMs);
        void this.lookUp([...this.waiters.keys()]).then(() => this.waiters.size > 0 && !this.closedWith && this.schedule());
      },
      receivesNotices() ? maxPollIntervalMs : this.pause,
    );
    if (this.waiters.size <= 1) this.pause = pollIntervalMs;
  }

  private async lookUp(ids: readonly string[]): Promise<void> {
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
    for (const waiter of this.waitersOf(runId)) {
      clearTimeout(waiter.timer);
      waiter.reject(error);
    }
    this.waiters.delete(runId);
    this.stopWhenIdle();
  }

  private remove(waiter: Waiter): void {
    const { runId } = waiter;
    const waiters = this.waiters.get(runId);
    if (waiters instanceof Set) waiters.delete(waiter);
    if (waiters === waiter || (waiters instanceof Set && waiters.size === 0)) this.waiters.delete(runId);
    this.stopWhenIdle();
  }

  /** Stops polling when nothing waits, because the timer would keep the process alive. */
  private stopWhenIdle(): void {
    if (this.waiters.size > 0) return;
    clearTimeout(this.timer);
    this.timer = undefined;
  }
}
