import { clearTimeout, setImmediate, setTimeout, sleep } from '../../core/timers.js';
import type { DueRun } from '../../core/run.js';
import type { Database } from '../../store/database.js';
import { readWakeUps, type WakeUp } from '../../store/sql/outbox.js';
import { BATCH, type QStashApi } from './api.js';
import type { QStashSettings } from './settings.js';

/**
 * Pauses before retries after a cut connection, in milliseconds. They are short because a caller
 * waits for the run that it has started.
 */
const QUICK_RETRY_PAUSES_MS = [100, 300, 900];
const MIN_PAUSE_MS = 5_000;
/** Longest pause, unless QStash names the time at which a limit ends. */
const MAX_PAUSE_MS = 300_000;
/** Number of times that a refused wake-up is sent again. After that, the sweep sends it. */
const MAX_REFUSALS = 3;
const DAY_MS = 86_400_000;
/** Maximum number of unsent wake-ups. Beyond this number, the sweep finds the runs. */
const MAX_PENDING = 100_000;
/** Milliseconds within which a run counts as due. */
const ALMOST_DUE_MS = 500;

/**
 * Announces due runs to QStash. A due run is a committed row already, so nothing depends on the
 * announcement. When the process ends first, or QStash does not answer, the sweep finds the run. No
 * transaction is open during an HTTP call.
 */
export class Publisher {
  /**
   * Runs that are due, or will be, and were not announced yet; with the wake-up if a sweep has read
   * it.
   */
  private readonly pending = new Map<string, WakeUp | undefined>();
  private sending: Promise<void> | undefined;
  /** Number of wake-ups in the current call. */
  private inFlight = 0;
  /** Callers that wait until a number of further wake-ups has been sent. */
  private waiters: { left: number; readonly done: () => void }[] = [];
  private pauseMs = 0;
  private retry: NodeJS.Timeout | undefined;
  private isClosed = false;
  /** Number of refusals by run, while the publisher still retries. */
  private readonly refusals = new Map<string, number>();
  private readonly timers = new Set<NodeJS.Timeout>();

  constructor(
    private readonly database: Database,
    private readonly api: QStashApi,
    private readonly settings: QStashSettings,
    private readonly warn: (message: string, error?: unknown) => void,
  ) {}

  /** True while the publisher pauses, because QStash does not answer or limits the rate. */
  get isPausing(): boolean {
    return this.retry !== undefined;
  }

  /**
   * Announces runs that have become due, or will. Resolves when QStash has accepted them, or could
   * not be reached.
   */
  announce(runs: readonly Pick<DueRun, 'id'>[]): Promise<void> {
    // Replaces the wake-up that a sweep has read before, because the run has changed since.
    for (const { id } of runs) this.add(id, undefined);
    return this.flush();
  }

  /** Announces runs that a sweep has found, with wake-ups that need no query. */
  send(wakeUps: readonly WakeUp[]): Promise<void> {
    for (const wakeUp of wakeUps) this.add(wakeUp.runId, wakeUp);
    return this.flush();
  }

  /**
   * Sends everything that is pending now. Does not wait for runs that are added meanwhile, because
   * there may be no end to them. Does not wait while QStash is unreachable.
   */
  flush(): Promise<void> {
    if (this.isPausing || this.isClosed || !this.sendPending()) return Promise.resolve();
    return new Promise((done) => this.waiters.push({ left: this.inFlight + this.pending.size, done }));
  }

  /** Sends until nothing is pending. Returns undefined when nothing is pending. */
  private sendPending(): Promise<void> | undefined {
    if (this.pending.size === 0 && !this.sending) return undefined;
    this.sending ??= this.drain();
    this.settings.waitUntil?.(this.sending);
    return this.sending;
  }

  /** Sends what is pending once more, and nothing afterwards. */
  async close(): Promise<void> {
    clearTimeout(this.retry);
    for (const timer of this.timers) clearTimeout(timer);
    this.retry = undefined;
    this.isClosed = true;
    await this.sendPending();
  }

  private add(runId: string, wakeUp: WakeUp | undefined): void {
    if (this.pending.size < MAX_PENDING) this.pending.set(runId, wakeUp);
  }

  private async drain(): Promise<void> {
    // Runs that are added in the same turn share a call.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.pending.size > 0) {
      const batch = [...this.pending].slice(0, BATCH);
      for (const [id] of batch) this.pending.delete(id);
      this.inFlight = batch.length;
      try {
        await this.publish(await this.read(batch));
        this.pauseMs = 0;
        this.batchSent(batch.length);
      } catch (error) {
        // A run that was added again meanwhile has newer data.
        for (const [id, wakeUp] of batch) if (!this.pending.has(id)) this.pending.set(id, wakeUp);
        this.retryLater(error);
        break;
      }
    }
    // In the same turn in which nothing is left, so that runs that are added later start a new
    // drain.
    this.sending = undefined;
    this.batchSent(Number.POSITIVE_INFINITY);
  }

  /** Resolves the callers whose wake-ups are sent. Batches are sent in the order of adding. */
  private batchSent(count: number): void {
    this.inFlight = 0;
    for (const each of this.waiters) each.left -= count;
    const done = this.waiters.filter(({ left }) => left <= 0);
    this.waiters = this.waiters.filter(({ left }) => left > 0);
    for (const each of done) each.done();
  }

  private async read(batch: readonly (readonly [string, WakeUp | undefined])[]): Promise<WakeUp[]> {
    const known = batch.flatMap(([, wakeUp]) => wakeUp ?? []);
    const unknown = batch.filter(([, wakeUp]) => !wakeUp).map(([id]) => id);
    const read = unknown.length > 0 ? await readWakeUps(this.database, unknown) : [];
    return [...known, ...read.filter((wakeUp) => this.isPublishable(wakeUp))];
  }

  private isPublishable({ dueInMs }: WakeUp): boolean {
    return dueInMs <= this.settings.maxDelayMs || this.settings.sweepCron === undefined;
  }

  private async publish(wakeUps: readonly WakeUp[]): Promise<void> {
    if (wakeUps.length === 0) return;
    const near = wakeUps.map((wakeUp) => {
      const dueInMs = wakeUp.dueInMs <= ALMOST_DUE_MS ? 0 : Math.min(wakeUp.dueInMs, this.settings.maxDelayMs);
      return { ...wakeUp, dueInMs };
    });
    const refusals = await this.publishWithRetries(near);
    const refused = refusals.flatMap((refusal, index) => (refusal ? { runId: near[index]!.runId, reason: refusal.reason } : []));
    for (const { runId } of near) if (!refused.some((each) => each.runId === runId)) this.refusals.delete(runId);
    const [one] = refused;
    if (!one) return;
    // One line for all refusals: all wake-ups may be refused, again and again.
    const which = `${refused.length} of ${near.length}, for example of run "${one.runId}": ${one.reason}`;
    this.warn('QStash refused wake-ups; retrying, then leaving them to the sweep', new Error(which));
    this.retryRefused(refused.map(({ runId }) => runId));
  }

  /**
   * Retries refused wake-ups, so that the runs need not wait for the sweep. Gives up when QStash
   * refuses again and again.
   */
  private retryRefused(runIds: readonly string[]): void {
    const again = runIds.filter((runId) => {
      const times = (this.refusals.get(runId) ?? 0) + 1;
      const isAgain = times <= MAX_REFUSALS && this.refusals.size < BATCH;
      if (isAgain) this.refusals.set(runId, times);
      else this.refusals.delete(runId);
      return isAgain;
    });
    if (again.length === 0 || this.isClosed) return;
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      void this.announce(again.map((id) => ({ id })));
    }, MIN_PAUSE_MS).unref();
    this.timers.add(timer);
  }

  /**
   * Publishes, and retries after transient errors. A repeated message has the same deduplication
   * id, so it does no harm that QStash may have accepted the first one.
   */
  private async publishWithRetries(wakeUps: readonly WakeUp[]): Promise<Awaited<ReturnType<QStashApi['publish']>>> {
    for (const pause of QUICK_RETRY_PAUSES_MS) {
      try {
        return await this.api.publish(wakeUps);
      } catch (error) {
        if (!isTransient(error)) throw error;
        await sleep(pause);
      }
    }
    return this.api.publish(wakeUps);
  }

  private retryLater(error: unknown): void {
    this.warn('could not announce due runs to QStash; retrying', error);
    if (this.isClosed) return;
    this.pauseMs = Math.min(Math.max(MIN_PAUSE_MS, this.pauseMs * 2), MAX_PAUSE_MS);
    const pause = Math.max(this.pauseMs, msUntilReset(error));
    this.retry = setTimeout(() => {
      this.retry = undefined;
      void this.sendPending();
    }, pause).unref();
  }
}

/**
 * Returns true for an error that may pass at once: QStash neither refused the call nor timed out.
 */
function isTransient(error: unknown): boolean {
  const { status, name } = error as { status?: unknown; name?: unknown };
  return name !== 'TimeoutError' && (typeof status !== 'number' || status >= 500);
}

/**
 * Returns the milliseconds until a rate limit of QStash ends, at most a day; 0 when the error does
 * not contain it.
 */
function msUntilReset(error: unknown): number {
  const reset = Number((error as { reset?: unknown }).reset);
  if (!Number.isFinite(reset)) return 0;
  // Documented as a Unix time. The size shows whether the value is in seconds or milliseconds.
  const resetAt = reset < 100_000_000_000 ? reset * 1_000 : reset;
  return Math.min(Math.max(0, resetAt - Date.now()), DAY_MS);
}
