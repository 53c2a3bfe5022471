import { clearTimeout, setImmediate, setTimeout, sleep } from '../../core/timers.js';
import type { DueRun } from '../../core/run.js';
import type { Database } from '../../store/database.js';
import { readWakeUps, type WakeUp } from '../../store/sql/outbox.js';
import { BATCH, type QStashApi } from './api.js';
import type { QStashSettings } from './settings.js';

/** A connection that was cut is tried again at once: whoever has started a run waits for it. */
const AT_ONCE_MS = [100, 300, 900];
const LEAST_PAUSE_MS = 5_000;
/** Unless QStash says when a limit is over. */
const LONGEST_PAUSE_MS = 300_000;
/** How often a wake-up that was refused is sent again; after that the sweep does. */
const MOST_REFUSALS = 3;
const DAY_MS = 86_400_000;
/** Beyond that it is the sweep's business. */
const MOST_PENDING = 100_000;
/** Within that, one more is as good as due. */
const SOON_MS = 500;

/**
 * Tells QStash which runs want to be executed. That a run is due is a committed row already, so nothing depends on this: what is not sent, because the process
 * ends, or QStash does not answer, is found by the sweep. No transaction is open while HTTP is spoken.
 */
export class Publisher {
  /** Runs that are due, or will be, and of which QStash has not been told; with the wake-up where a sweep has read it. */
  private readonly pending = new Map<string, WakeUp | undefined>();
  private sending: Promise<void> | undefined;
  /** How many are on their way now. */
  private underWay = 0;
  /** Who waits until so many more have been sent. */
  private waiting: { left: number; readonly done: () => void }[] = [];
  private pauseMs = 0;
  private retry: NodeJS.Timeout | undefined;
  private isClosed = false;
  /** How often QStash has refused the wake-up of a run, as far as the publisher tries again. */
  private readonly refusals = new Map<string, number>();
  private readonly timers = new Set<NodeJS.Timeout>();

  constructor(
    private readonly database: Database,
    private readonly api: QStashApi,
    private readonly settings: QStashSettings,
    private readonly warn: (message: string, error?: unknown) => void,
  ) {}

  /** Whether QStash is left alone for a while, because it does not answer or has had enough. */
  get isPausing(): boolean {
    return this.retry !== undefined;
  }

  /** These runs have become due, or will. Resolves when QStash has been told, or could not be. */
  note(runs: readonly Pick<DueRun, 'id'>[]): Promise<void> {
    // In place of what a sweep has read before: something has happened since.
    for (const { id } of runs) this.add(id, undefined);
    return this.flush();
  }

  /** The same for what a sweep has found, and knows already. */
  send(wakeUps: readonly WakeUp[]): Promise<void> {
    for (const wakeUp of wakeUps) this.add(wakeUp.runId, wakeUp);
    return this.flush();
  }

  /** What is noted by now is sent. What others note meanwhile is not waited for: there may be no end to it. While QStash is away, nobody need wait for it. */
  flush(): Promise<void> {
    if (this.isPausing || this.isClosed || !this.sendPending()) return Promise.resolve();
    return new Promise((done) => this.waiting.push({ left: this.underWay + this.pending.size, done }));
  }

  /** Until nothing is pending. Undefined when nothing is. */
  private sendPending(): Promise<void> | undefined {
    if (this.pending.size === 0 && !this.sending) return undefined;
    this.sending ??= this.drain();
    this.settings.waitUntil?.(this.sending);
    return this.sending;
  }

  /** Sends what there is once more, and nothing afterwards. */
  async close(): Promise<void> {
    clearTimeout(this.retry);
    for (const timer of this.timers) clearTimeout(timer);
    this.retry = undefined;
    this.isClosed = true;
    await this.sendPending();
  }

  private add(runId: string, wakeUp: WakeUp | undefined): void {
    if (this.pending.size < MOST_PENDING) this.pending.set(runId, wakeUp);
  }

  private async drain(): Promise<void> {
    // What is noted in the same turn travels together.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.pending.size > 0) {
      const batch = [...this.pending].slice(0, BATCH);
      for (const [id] of batch) this.pending.delete(id);
      this.underWay = batch.length;
      try {
        await this.publish(await this.read(batch));
        this.pauseMs = 0;
        this.sent(batch.length);
      } catch (error) {
        // One that has been noted again meanwhile is newer.
        for (const [id, wakeUp] of batch) if (!this.pending.has(id)) this.pending.set(id, wakeUp);
        this.later(error);
        break;
      }
    }
    // In the same moment as there is nothing left: what is noted from now on begins anew.
    this.sending = undefined;
    this.sent(Number.POSITIVE_INFINITY);
  }

  /** Batches go in the order of noting. */
  private sent(count: number): void {
    this.underWay = 0;
    for (const each of this.waiting) each.left -= count;
    const done = this.waiting.filter(({ left }) => left <= 0);
    this.waiting = this.waiting.filter(({ left }) => left > 0);
    for (const each of done) each.done();
  }

  private async read(batch: readonly (readonly [string, WakeUp | undefined])[]): Promise<WakeUp[]> {
    const known = batch.flatMap(([, wakeUp]) => wakeUp ?? []);
    const unknown = batch.filter(([, wakeUp]) => !wakeUp).map(([id]) => id);
    const read = unknown.length > 0 ? await readWakeUps(this.database, unknown) : [];
    return [...known, ...read.filter((wakeUp) => this.isWithinReach(wakeUp))];
  }

  private isWithinReach({ dueInMs }: WakeUp): boolean {
    return dueInMs <= this.settings.maxDelayMs || this.settings.sweepCron === undefined;
  }

  private async publish(wakeUps: readonly WakeUp[]): Promise<void> {
    if (wakeUps.length === 0) return;
    const near = wakeUps.map((wakeUp) => {
      const dueInMs = wakeUp.dueInMs <= SOON_MS ? 0 : Math.min(wakeUp.dueInMs, this.settings.maxDelayMs);
      return { ...wakeUp, dueInMs };
    });
    const refusals = await this.insist(near);
    const refused = refusals.flatMap((refusal, index) => (refusal ? { runId: near[index]!.runId, reason: refusal.reason } : []));
    for (const { runId } of near) if (!refused.some((each) => each.runId === runId)) this.refusals.delete(runId);
    const [one] = refused;
    if (!one) return;
    // Not a line for each: it may be all of them, again and again.
    const which = `${refused.length} of ${near.length}, as that of run "${one.runId}": ${one.reason}`;
    this.warn('QStash refused wake-ups; trying again, and then the sweep does', new Error(which));
    this.againSoon(refused.map(({ runId }) => runId));
  }

  /** A refusal is known at once: the run need not wait for the sweep, unless QStash refuses it again and again. */
  private againSoon(runIds: readonly string[]): void {
    const again = runIds.filter((runId) => {
      const times = (this.refusals.get(runId) ?? 0) + 1;
      const isAgain = times <= MOST_REFUSALS && this.refusals.size < BATCH;
      if (isAgain) this.refusals.set(runId, times);
      else this.refusals.delete(runId);
      return isAgain;
    });
    if (again.length === 0 || this.isClosed) return;
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      void this.note(again.map((id) => ({ id })));
    }, LEAST_PAUSE_MS).unref();
    this.timers.add(timer);
  }

  /** A message that was taken although no answer came has the same deduplication id when it is sent again. */
  private async insist(wakeUps: readonly WakeUp[]): Promise<Awaited<ReturnType<QStashApi['publish']>>> {
    for (const pause of AT_ONCE_MS) {
      try {
        return await this.api.publish(wakeUps);
      } catch (error) {
        if (!isFleeting(error)) throw error;
        await sleep(pause);
      }
    }
    return this.api.publish(wakeUps);
  }

  private later(error: unknown): void {
    this.warn('QStash could not be told of due runs; trying again', error);
    if (this.isClosed) return;
    this.pauseMs = Math.min(Math.max(LEAST_PAUSE_MS, this.pauseMs * 2), LONGEST_PAUSE_MS);
    const pause = Math.max(this.pauseMs, untilReset(error));
    this.retry = setTimeout(() => {
      this.retry = undefined;
      void this.sendPending();
    }, pause).unref();
  }
}

/** Whether it may be over in a moment: QStash did not refuse, nor keep us waiting. */
function isFleeting(error: unknown): boolean {
  const { status, name } = error as { status?: unknown; name?: unknown };
  return name !== 'TimeoutError' && (typeof status !== 'number' || status >= 500);
}

/** Milliseconds until a limit of QStash's is over, at most a day, as far as its error says so. */
function untilReset(error: unknown): number {
  const reset = Number((error as { reset?: unknown }).reset);
  if (!Number.isFinite(reset)) return 0;
  // Documented as a Unix time; whether of seconds or of milliseconds, its size tells.
  const resetAt = reset < 100_000_000_000 ? reset * 1_000 : reset;
  return Math.min(Math.max(0, resetAt - Date.now()), DAY_MS);
}
