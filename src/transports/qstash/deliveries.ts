import { performance } from 'node:perf_hooks';

import { clearInterval, clearTimeout, setInterval, setTimeout, sleep } from '../../core/timers.js';
import { within } from '../../core/async.js';
import type { Database } from '../../store/database.js';
import { SUSPECT_LOSSES, type ClaimedRun } from '../../store/sql/claim-runs.js';
import { isSameWait, readWakeUps, type ListedRun } from '../../store/sql/outbox.js';
import type { Worker } from '../../worker/worker.js';
import { SharedExclusiveLock, type Leave } from './shared-exclusive-lock.js';
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
/** How long closing waits for the last answers: QStash may have to be told of runs that are handed over. */
const ANSWERS_LIMIT_MS = 3_000;
/** So long others wait until a run is done that may kill its process. It waits itself until their time is over, and so much more. */
const PATIENCE_MS = 5_000;

/**
 * What a delivery came to. `nothing`: the run is not due, has ended, or is somebody else's. `early`: it is not due yet, and QStash has been told of it again.
 * `told`: the worker of this process, which looks for itself, has been told. `busy`: not now; the same message must come again. `closed`: not here any more.
 */
export type DeliveryOutcome = 'executed' | 'nothing' | 'early' | 'told' | 'busy' | 'closed';

/** `suspect`: the run was lost with a process again and again, and may only be executed alone. */
type Verdict = DeliveryOutcome | 'suspect';

type With = 'alone' | 'with others';

/**
 * Executes runs that QStash tells of, each as far as it goes within its time. Between deliveries there is nothing: no session, no timer, no query. So a platform
 * may freeze the process then, and nobody has to find out that it did.
 */
export class Deliveries {
  private worker: Worker | undefined;
  private active = 0;
  /** Of deliveries that are under way. */
  private readonly outcomes = new Set<Promise<unknown>>();
  private readonly company: SharedExclusiveLock;
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
  ) {
    this.company = new SharedExclusiveLock(PATIENCE_MS, Math.min(settings.timeBudgetMs + PATIENCE_MS, settings.deliveryTimeoutMs / 2));
  }

  /** The one that works now. */
  get current(): Worker | undefined {
    return this.worker;
  }

  /** @throws what the database says */
  async deliver(message: WakeUpMessage): Promise<DeliveryOutcome> {
    if (this.isClosed) return 'closed';
    const outcome = this.handle(message);
    this.outcomes.add(outcome);
    try {
      return await outcome;
    } finally {
      this.outcomes.delete(outcome);
    }
  }

  private async handle(message: WakeUpMessage): Promise<DeliveryOutcome> {
    this.active++;
    const since = performance.now();
    try {
      const met = await this.inCompany(this.company.join(), () => this.execute(message, 'with others', since));
      // It has left before it waits for all to leave.
      const outcome = met === 'suspect' ? await this.inCompany(this.company.alone(), () => this.execute(message, 'alone', since)) : met;
      await this.publisher.flush();
      return outcome === 'suspect' ? 'busy' : outcome;
    } finally {
      this.active--;
      await this.rest();
    }
  }

  /** Lets what is under way end, hands the rest over, and takes nothing more. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.company.close();
    await within(
      SESSION_LIMIT_MS,
      this.changing.catch(() => undefined),
    );
    clearInterval(this.looking);
    await this.worker?.stop();
    // Those that have nothing left to do but to answer should answer with what they have done.
    await within(ANSWERS_LIMIT_MS, Promise.allSettled(this.outcomes));
  }

  private async inCompany(entering: Promise<Leave | undefined>, work: () => Promise<Verdict>): Promise<Verdict> {
    const leave = await entering;
    if (!leave) return this.isClosed ? 'closed' : 'busy';
    try {
      return await work();
    } finally {
      leave();
    }
  }

  /** @param since when the request came, of performance.now(): the platform counts from there */
  private async execute(message: WakeUpMessage, company: With, since: number): Promise<Verdict> {
    if (this.isClosed) return 'closed';
    const worker = await this.open();
    const taken = await this.take(worker, message, company);
    if (typeof taken === 'string') return taken;
    const { id } = taken;
    const { timeBudgetMs, deliveryTimeoutMs } = this.settings;
    const leftMs = Math.max(0, deliveryTimeoutMs - LAST_MOMENT_MS - (performance.now() - since));
    const timers = [
      setTimeout(() => worker.handOver(id, 'soon'), Math.min(timeBudgetMs, leftMs)),
      setTimeout(() => this.letGo(worker, id), leftMs),
    ];
    try {
      await worker.gone(id);
      // Before the answer: a platform may freeze the process with it, and what has not been told then is left to the sweep.
      await worker.told();
    } finally {
      timers.forEach(clearTimeout);
    }
    return 'executed';
  }

  private letGo(worker: Worker, runId: string): void {
    const why = `${this.settings.deliveryTimeoutMs} ms (qstash.deliveryTimeout) are over; what was under way is executed again`;
    this.warn('a run was let go of in the middle of a step', new Error(`"${runId}": ${why}`));
    worker.handOver(runId, 'now');
  }

  /** The run, or why this delivery has nothing to do with it. */
  private async take(worker: Worker, message: WakeUpMessage, company: With): Promise<ClaimedRun | Verdict> {
    const run = await worker.claimById(message.run, company);
    if (run) return run;
    const [listed] = await readWakeUps(this.database, [message.run]);
    const verdict = listed ? this.judge(worker, message, listed) : 'nothing';
    if (!listed || verdict !== 'early') return verdict;
    if (listed.dueInMs > MOMENT_MS) {
      await this.publisher.note([{ id: message.run }]);
      return 'early';
    }
    // Told of again within the second, the run would be forgotten: QStash swallows the message as one that it has seen.
    await sleep(Math.ceil(listed.dueInMs) + 1);
    return this.take(worker, message, company);
  }

  /** Why a run could not be taken that is due, or will be. */
  private judge(worker: Worker, { seq }: WakeUpMessage, listed: ListedRun): Verdict {
    // Another process must hear of it.
    if (this.isClosed) return 'closed';
    // A copy of one that has done its work, before the run fell asleep: the end of the sleep has a message of its own.
    if (listed.dueInMs > 0) return isSameWait(seq, listed.seq) ? 'early' : 'nothing';
    if (!worker.serves(listed)) return 'nothing';
    if (listed.losses >= SUSPECT_LOSSES) return 'suspect';
    // It became due in this moment, or this worker has lost its session and does not know yet, as after a platform has frozen it.
    return 'busy';
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
