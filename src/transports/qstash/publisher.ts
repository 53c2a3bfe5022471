import { clearTimeout, setImmediate, setTimeout, sleep } from '../../core/timers.js';
import type { Warn } from '../../core/log-fields.js';
import { counted } from '../../core/log-text.js';
import type { DurableMetrics } from '../../core/metrics/durable-metrics.js';
import { outside } from '../../core/outside.js';
import type { DueRun } from '../../core/run.js';
import { tracer } from '../../core/tracing.js';
import type { Database } from '../../store/database.js';
import { readWakeUps, type WakeUp } from '../../store/sql/outbox.js';
import { MAX_BATCH_MESSAGES, type QStashApi } from './api.js';
import type { QStashSettings } from './settings.js';

/**
 * Milliseconds before each retry after a transient error. The pauses are short, because a caller
 * waits for the start of its run.
 */
const QUICK_RETRY_PAUSES_MS = [100, 300, 900];
const MIN_PAUSE_MS = 5_000;
/**
 * Longest pause between retries, in milliseconds. When QStash limits the rate and names the time at
 * which the limit ends, the publisher pauses until that time.
 */
const MAX_PAUSE_MS = 300_000;
/**
 * Number of times that the publisher sends a refused wake-up again. After that, the next sweep
 * sends it.
 */
const MAX_REFUSALS = 3;
const DAY_MS = 86_400_000;
/** Maximum number of unsent wake-ups. Further runs are not announced, and the sweep finds them. */
const MAX_PENDING = 100_000;
/** A run that becomes due within this many milliseconds is published without a delay. */
const ALMOST_DUE_MS = 500;

/**
 * Announces due runs to QStash. The database already records that these runs are due, so losing an
 * announcement does no harm: the sweep finds the run. An announcement is lost when the process ends
 * first, or when QStash does not answer. No transaction is open during an HTTP call.
 */
export class Publisher {
  /**
   * Runs that are due or become due later, and that have not been announced yet. The value is the
   * wake-up that a sweep has read. It is undefined if the publisher must read the wake-up from the
   * database.
   */
  private readonly pending = new Map<string, WakeUp | undefined>();
  private sending: Promise<void> | undefined;
  /** Number of wake-ups in the current call of the API. */
  private inFlight = 0;
  /**
   * Callers that wait for their wake-ups, each with the number of wake-ups that must be sent before
   * it can continue.
   */
  private waiters: { left: number; readonly done: () => void }[] = [];
  private pauseMs = 0;
  private retry: NodeJS.Timeout | undefined;
  private isClosed = false;
  /** Number of refusals of each run that the publisher still retries. */
  private readonly refusals = new Map<string, number>();
  private readonly timers = new Set<NodeJS.Timeout>();

  constructor(
    private readonly database: Database,
    private readonly api: QStashApi,
    private readonly settings: QStashSettings,
    private readonly metrics: DurableMetrics,
    private readonly warn: Warn,
  ) {}

  /** True while the publisher pauses, because QStash does not answer or limits the rate. */
  get isPausing(): boolean {
    return this.retry !== undefined;
  }

  /** Number of wake-ups that have not been published yet. */
  get unsent(): number {
    return this.pending.size + this.inFlight;
  }

  /**
   * Announces runs that are due now or become due later. Resolves when QStash has accepted the
   * announcements, or could not be reached.
   */
  announce(runs: readonly Pick<DueRun, 'id'>[]): Promise<void> {
    // `undefined` also replaces a wake-up that a sweep has read. That wake-up is outdated, because
    // the run has changed since.
    for (const { id } of runs) this.add(id, undefined);
    return this.flush();
  }

  /**
   * Announces runs that a sweep has found. Their wake-ups are complete, so no query is necessary.
   */
  send(wakeUps: readonly WakeUp[]): Promise<void> {
    for (const wakeUp of wakeUps) this.add(wakeUp.runId, wakeUp);
    return this.flush();
  }

  /**
   * Sends the wake-ups that are pending now. Resolves when they are sent, when sending fails, or at
   * once while QStash cannot be reached. Does not wait for wake-ups that are added in the meantime,
   * because more could be added without end.
   */
  flush(): Promise<void> {
    if (this.isPausing || this.isClosed || !this.sendPending()) return Promise.resolve();
    return new Promise((done) => this.waiters.push({ left: this.inFlight + this.pending.size, done }));
  }

  /** Sends wake-ups until none is pending. Returns undefined when there is nothing to send. */
  private sendPending(): Promise<void> | undefined {
    if (this.pending.size === 0 && !this.sending) return undefined;
    // Leaves the context of the caller: one call of the API serves many callers.
    this.sending ??= outside(() => this.drain());
    this.settings.waitUntil?.(this.sending);
    return this.sending;
  }

  /** Tries one last time to send the pending wake-ups. The publisher sends nothing afterwards. */
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
    // Wait until the end of this turn of the event loop, so that all runs added in it share one
    // call.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.pending.size > 0) {
      const batch = [...this.pending].slice(0, MAX_BATCH_MESSAGES);
      for (const [id] of batch) this.pending.delete(id);
      this.inFlight = batch.length;
      try {
        await this.publish(await this.read(batch));
        this.pauseMs = 0;
        this.batchSent(batch.length);
      } catch (error) {
        // Keep the unsent wake-ups for a retry. Runs that were added again during the call already
        // have newer data in `pending`.
        for (const [id, wakeUp] of batch) if (!this.pending.has(id)) this.pending.set(id, wakeUp);
        this.metrics.published('failed', batch.length);
        this.retryLater(error);
        break;
      }
    }
    // No `await` may stand between the last check of `pending` and this line. A run that is added
    // during such an `await` would not be sent, because `sending` is still set.
    this.sending = undefined;
    this.batchSent(Number.POSITIVE_INFINITY);
  }

  /**
   * Resolves the callers whose wake-ups have been sent. Wake-ups are sent in the order in which
   * they were added.
   */
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
    const publish = (): ReturnType<QStashApi['publish']> => this.publishWithRetries(near);
    const refusals = await (tracer ? tracer.publish('qstash', near, publish) : publish());
    const refused = refusals.flatMap((refusal, index) => (refusal ? { runId: near[index]!.runId, reason: refusal.reason } : []));
    this.metrics.published('accepted', near.length - refused.length);
    if (refused.length > 0) this.metrics.published('refused', refused.length);
    for (const { runId } of near) if (!refused.some((each) => each.runId === runId)) this.refusals.delete(runId);
    const [one] = refused;
    if (!one) return;
    // All refusals of a batch share one log line, because QStash may refuse all wake-ups again and
    // again.
    const which = `for example of run "${one.runId}": ${one.reason}`;
    this.warn(
      'qstash-wake-ups-refused',
      `qstash: refused ${counted(refused.length, 'wake-up')}; retrying, then leaving them to the sweep`,
      new Error(which),
      {
        count: refused.length,
        runId: one.runId,
      },
    );
    this.retryRefused(refused.map(({ runId }) => runId));
  }

  /**
   * Retries refused wake-ups, so that their runs need not wait for the sweep. Gives up when QStash
   * refuses the same run again and again.
   */
  private retryRefused(runIds: readonly string[]): void {
    const again = runIds.filter((runId) => {
      const times = (this.refusals.get(runId) ?? 0) + 1;
      const isAgain = times <= MAX_REFUSALS && this.refusals.size < MAX_BATCH_MESSAGES;
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
   * Publishes wake-ups, and retries after transient errors. QStash may have accepted the messages
   * of a call that failed. Sending them again does no harm: a repeated message has the same
   * deduplication id, so QStash drops it.
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
    this.warn('qstash-announce-failed', 'qstash: could not announce due runs; retrying', error);
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
 * Returns true for an error that an immediate retry may avoid: a lost connection, or a status of
 * 500 or higher. A timeout is not transient, and neither is a refusal (a status below 500).
 */
function isTransient(error: unknown): boolean {
  const { status, name } = error as { status?: unknown; name?: unknown };
  return name !== 'TimeoutError' && (typeof status !== 'number' || status >= 500);
}

/**
 * Returns the milliseconds until a rate limit of QStash ends, at most a day; 0 when the error does
 * not contain the time.
 */
function msUntilReset(error: unknown): number {
  const reset = Number((error as { reset?: unknown }).reset);
  if (!Number.isFinite(reset)) return 0;
  // QStash documents this value as a Unix time without its unit. A small number must be in seconds,
  // a large one in milliseconds.
  const resetAt = reset < 100_000_000_000 ? reset * 1_000 : reset;
  return Math.min(Math.max(0, resetAt - Date.now()), DAY_MS);
}
