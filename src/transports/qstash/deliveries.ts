import type { Database } from '../../store/database.js';
import { SUSPECT_LOSSES } from '../../store/sql/claim-runs.js';
import { readWakeUps } from '../../store/sql/wake-ups.js';
import type { Worker } from '../../worker/worker.js';
import { Company, type Leave } from './company.js';
import type { Publisher } from './publisher.js';
import type { QStashSettings } from './settings.js';

/** So often a delivery looks for messages that nobody in this process knows of: there are no notices without a connection that listens. */
const LOOK_EVERY_MS = 1_000;
/** What is left for the answer when a run has to be let go of. */
const LAST_MOMENT_MS = 2_000;
/** So long a run that may kill its process waits until it is alone, and others until it is done. */
const PATIENCE_MS = 5_000;

/**
 * What a delivery came to. `nothing`: the run is not due, has ended, or is somebody else's. `early`: it is not due yet, and QStash has been told of it again.
 * `told`: the worker of this process, which looks for itself, has been told. `busy`: not now; the same message must come again.
 */
export type DeliveryOutcome = 'executed' | 'nothing' | 'early' | 'told' | 'busy';

/**
 * Executes runs that QStash tells of, each as far as it goes within its time. Between deliveries there is nothing: no session, no timer, no query. So a platform
 * may freeze the process then, and nobody has to find out that it did.
 */
export class Deliveries {
  private worker: Worker | undefined;
  private active = 0;
  private readonly company = new Company(PATIENCE_MS);
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
  async deliver(runId: string): Promise<DeliveryOutcome> {
    const leave = await this.company.join();
    if (!leave) return 'busy';
    this.active++;
    try {
      const met = await this.inCompany(leave, () => this.execute(runId, 'with others'));
      // It has left before it waits for all to leave.
      const outcome = met === 'suspect' ? await this.deliverAlone(runId) : met;
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
    this.company.close();
    await this.changing.catch(() => undefined);
    clearInterval(this.looking);
    await this.worker?.stop();
  }

  /** A run that was lost with a process again and again. */
  private async deliverAlone(runId: string): Promise<DeliveryOutcome> {
    const leave = await this.company.alone();
    if (!leave) return 'busy';
    const outcome = await this.inCompany(leave, () => this.execute(runId, 'alone'));
    return outcome === 'suspect' ? 'nothing' : outcome;
  }

  private async inCompany<T>(leave: Leave, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } finally {
      leave();
    }
  }

  private async execute(runId: string, company: 'alone' | 'with others'): Promise<DeliveryOutcome | 'suspect'> {
    if (this.isClosed) return 'busy';
    const worker = await this.open();
    const run = await worker.takeNamed(runId, company);
    // Another process must hear of it.
    if (!run) return this.isClosed ? 'busy' : this.explain(runId);
    const { timeBudgetMs, deliveryTimeoutMs } = this.settings;
    const timers = [
      setTimeout(() => worker.handOver(runId, 'soon'), timeBudgetMs),
      setTimeout(() => worker.handOver(runId, 'now'), Math.max(timeBudgetMs, deliveryTimeoutMs - LAST_MOMENT_MS)),
    ];
    try {
      await worker.gone(runId);
    } finally {
      timers.forEach(clearTimeout);
    }
    return 'executed';
  }

  private async explain(runId: string): Promise<DeliveryOutcome | 'suspect'> {
    const [wakeUp] = await readWakeUps(this.database, [runId]);
    if (!wakeUp) return 'nothing';
    if (wakeUp.dueInMs > 0) {
      await this.publisher.note([{ id: runId }]);
      return 'early';
    }
    return wakeUp.losses >= SUSPECT_LOSSES ? 'suspect' : 'nothing';
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
