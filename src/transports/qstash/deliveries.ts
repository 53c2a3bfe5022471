import { setTimeout as sleep } from 'node:timers/promises';

import { within } from '../../core/within.js';
import type { Database } from '../../store/database.js';
import { SUSPECT_LOSSES, type ClaimedRun } from '../../store/sql/claim-runs.js';
import { isSameWait, readWakeUps } from '../../store/sql/wake-ups.js';
import type { Worker } from '../../worker/worker.js';
import type { WakeUpMessage } from './message.js';
import type { Publisher } from './publisher.js';
import type { QStashSettings } from './settings.js';

/** So often a delivery looks for messages that nobody in this process knows of: there are no notices without a connection that listens. */
const LOOK_EVERY_MS = 1_000;
/** So much too early a delivery waits, because messages of runs that are nearly due are sent at once, and QStash's delays count in seconds. */
const MOMENT_MS = 1_000;
/** What is left for the answer when a run has to be let go of. */
const LAST_MOMENT_MS = 2_000;
/** How long closing waits for a session that is being opened by a database that does not answer. */
const SESSION_LIMIT_MS = 3_000;

/**
 * What a delivery came to. `nothing`: the run is not due, has ended, or is somebody else's. `early`: it is not due yet, and QStash has been told of it again.
 * `told`: the worker of this process, which looks for itself, has been told. `busy`: not now; the same message must come again. `closed`: not here any more.
 */
export type DeliveryOutcome = 'executed' | 'nothing' | 'early' | 'told' | 'busy' | 'closed';

/**
 * Executes runs that QStash tells of, each as far as it goes within its time. Between deliveries there is nothing: no session, no timer, no query. So a platform
 * may freeze the process then, and nobody has to find out that it did.
 */
export class Deliveries {
  private worker: Worker | undefined;
  private active = 0;
  /** A run that may kill its process is under way; nothing else may be. */
  private isAlone = false;
  private isClosed = false;
  private looking: NodeJS.Timeout | undefined;
  /** Sessions begin and end one after the other. */
  private changing: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly database: Database,
    private readonly makeWorker: () => Worker,
    private readonly publisher: Publisher,
    private readonly settings: QStashSettings,
    private readonly warn: (message: string, error?: unknown) => void,
  ) {}

  /** The one that works now. */
  get current(): Worker | undefined {
    return this.worker;
  }

  /** @throws what the database says */
  async deliver(message: WakeUpMessage): Promise<DeliveryOutcome> {
    if (this.isClosed) return 'closed';
    if (this.isAlone) return 'busy';
    this.active++;
    try {
      const worker = await this.open();
      const outcome = await this.execute(worker, message);
      await this.publisher.flush();
      return outcome;
    } finally {
      this.active--;
      await this.rest();
    }
  }

  /** Lets what is under way end, hands the rest over, and takes nothing more. */
  async close(): Promise<void> {
    this.isClosed = true;
    await within(
      SESSION_LIMIT_MS,
      this.changing.catch(() => undefined),
    );
    clearInterval(this.looking);
    await this.worker?.stop();
  }

  private async execute(worker: Worker, message: WakeUpMessage): Promise<DeliveryOutcome> {
    const { run: runId } = message;
    const run = (await this.take(worker, runId)) ?? (await this.takeInMoment(worker, runId));
    if (!run) return this.explain(message);
    if (run.losses >= SUSPECT_LOSSES) this.isAlone = true;
    const { timeBudgetMs, deliveryTimeoutMs } = this.settings;
    const timers = [
      setTimeout(() => worker.handOver(runId, 'soon'), timeBudgetMs),
      setTimeout(() => worker.handOver(runId, 'now'), Math.max(timeBudgetMs, deliveryTimeoutMs - LAST_MOMENT_MS)),
    ];
    try {
      await worker.gone(runId);
    } finally {
      timers.forEach(clearTimeout);
      if (run.losses >= SUSPECT_LOSSES) this.isAlone = false;
    }
    return 'executed';
  }

  private take(worker: Worker, runId: string): Promise<ClaimedRun | undefined> {
    return worker.takeNamed(runId, this.active === 1 ? 'alone' : 'with others');
  }

  /** Told of again within the second, the run would be forgotten: QStash swallows the message as one that it has seen. */
  private async takeInMoment(worker: Worker, runId: string): Promise<ClaimedRun | undefined> {
    const [wakeUp] = await readWakeUps(this.database, [runId]);
    if (!wakeUp || wakeUp.dueInMs <= 0 || wakeUp.dueInMs > MOMENT_MS) return undefined;
    await sleep(Math.ceil(wakeUp.dueInMs) + 1);
    return this.take(worker, runId);
  }

  private async explain({ run: runId, seq }: WakeUpMessage): Promise<DeliveryOutcome> {
    const [wakeUp] = await readWakeUps(this.database, [runId]);
    if (!wakeUp) return 'nothing';
    // The worker takes nothing any more.
    if (this.isClosed) return 'busy';
    if (wakeUp.dueInMs > 0) {
      // A copy of one that has done its work, before the run fell asleep: the end of the sleep has a message of its own.
      if (!isSameWait(seq, wakeUp.seq)) return 'nothing';
      await this.publisher.note([{ id: runId }]);
      return 'early';
    }
    return wakeUp.losses >= SUSPECT_LOSSES && this.active > 1 ? 'busy' : 'nothing';
  }

  private open(): Promise<Worker> {
    return this.afterwards(async () => {
      if (this.worker) return this.worker;
      const worker = this.makeWorker();
      await worker.start();
      const failed = (error: unknown): void => this.warn('messages could not be looked for', error);
      this.looking = setInterval(() => void worker.reconcile().catch(failed), LOOK_EVERY_MS);
      return (this.worker = worker);
    });
  }

  private rest(): Promise<void> {
    return this.afterwards(async () => {
      if (this.active > 0 || !this.worker || this.isClosed) return;
      const { worker } = this;
      this.worker = undefined;
      clearInterval(this.looking);
      await worker.stop();
    });
  }

  private afterwards<T>(work: () => Promise<T>): Promise<T> {
    const done = this.changing.then(work, work);
    this.changing = done.catch(() => undefined);
    return done;
  }
}
