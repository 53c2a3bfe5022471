import type { Database } from '../../store/database.js';
import { readWakeUps, type WakeUp } from '../../store/sql/wake-ups.js';
import type { DueRun } from '../../core/run.js';
import { BATCH, type QStashApi } from './api.js';
import type { QStashSettings } from './settings.js';

const LEAST_PAUSE_MS = 5_000;
const LONGEST_PAUSE_MS = 300_000;
/** Beyond that it is the sweep's business. */
const MOST_PENDING = 10_000;
/** Within that, one more is as good as due. */
const SOON_MS = 500;

/**
 * Tells QStash which runs want to be executed. That a run is due is a committed row already, so nothing depends on this: what is not sent, because the process
 * ends, or QStash does not answer, is found by the sweep. No transaction is open while HTTP is spoken.
 */
export class Publisher {
  /** Runs that are due, or will be, and of which QStash has not been told. */
  private readonly pending = new Set<string>();
  private sending: Promise<void> | undefined;
  private pauseMs = 0;
  private retry: NodeJS.Timeout | undefined;
  private isClosed = false;

  constructor(
    private readonly database: Database,
    private readonly api: QStashApi,
    private readonly settings: QStashSettings,
    private readonly warn: (message: string, error?: unknown) => void,
  ) {}

  /** These runs have become due, or will. Resolves when QStash has been told, or could not be. */
  note(runs: readonly Pick<DueRun, 'id'>[]): Promise<void> {
    for (const { id } of runs) if (this.pending.size < MOST_PENDING) this.pending.add(id);
    // While QStash is away, callers need not wait for it.
    if (this.retry || this.isClosed) return Promise.resolve();
    return this.flush();
  }

  /** Publishes what is known already: what a sweep has found. What QStash does not take is found by a later one, and keeps this one from nothing else. */
  async send(wakeUps: readonly WakeUp[]): Promise<void> {
    for (let from = 0; from < wakeUps.length; from += BATCH) {
      try {
        await this.publish(wakeUps.slice(from, from + BATCH));
      } catch (error) {
        this.warn('QStash could not be told of runs that a sweep has found; another one tells it again', error);
      }
    }
  }

  /** What is noted and can be sent is sent. */
  flush(): Promise<void> {
    this.sending ??= this.drain();
    this.settings.waitUntil?.(this.sending);
    return this.sending;
  }

  /** Sends what there is once more, and nothing afterwards. */
  async close(): Promise<void> {
    clearTimeout(this.retry);
    this.retry = undefined;
    if (this.pending.size > 0) await this.flush();
    this.isClosed = true;
  }

  private async drain(): Promise<void> {
    // What is noted in the same turn travels together.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.pending.size > 0) {
      const ids = [...this.pending].slice(0, BATCH);
      for (const id of ids) this.pending.delete(id);
      try {
        await this.publish((await readWakeUps(this.database, ids)).filter((wakeUp) => this.isWithinReach(wakeUp)));
        this.pauseMs = 0;
      } catch (error) {
        for (const id of ids) this.pending.add(id);
        this.later(error);
        break;
      }
    }
    // In the same moment as there is nothing left: what is noted from now on begins anew.
    this.sending = undefined;
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
    for (const [index, refusal] of (await this.api.publish(near)).entries()) {
      if (refusal)
        this.warn(`QStash refused the wake-up of run "${near[index]!.runId}"; the sweep sends it again`, new Error(refusal.reason));
    }
  }

  private later(error: unknown): void {
    this.warn('QStash could not be told of due runs; trying again', error);
    if (this.isClosed) return;
    this.pauseMs = Math.min(Math.max(LEAST_PAUSE_MS, this.pauseMs * 2, untilReset(error)), LONGEST_PAUSE_MS);
    this.retry = setTimeout(() => {
      this.retry = undefined;
      void this.flush();
    }, this.pauseMs).unref();
  }
}

/** Milliseconds until a limit of QStash's is over, as far as its error says so. */
function untilReset(error: unknown): number {
  const { reset } = error as { reset?: unknown };
  const seconds = Number(reset);
  return Number.isFinite(seconds) && seconds > 0 ? Math.max(0, seconds * 1_000 - Date.now()) : 0;
}
