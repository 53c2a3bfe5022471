import { performance } from 'node:perf_hooks';

import { clearInterval, clearTimeout, setInterval, setTimeout, sleep } from '../../core/timers.js';
import { within } from '../../core/async.js';
import type { Warn } from '../../core/log-fields.js';
import type { Admissions } from '../../store/admissions.js';
import type { Database } from '../../store/database.js';
import { SUSPECT_LOSSES, type ClaimedRun } from '../../store/sql/claim-runs.js';
import { isSameWait, readWakeUps, type ListedRun } from '../../store/sql/outbox.js';
import { wakeDueRuns } from '../../store/sql/timers.js';
import type { Worker } from '../../worker/worker.js';
import { SharedExclusiveLock, type Release } from './shared-exclusive-lock.js';
import type { WakeUpMessage } from './message.js';
import type { Publisher } from './publisher.js';
import type { QStashSettings } from './settings.js';

/**
 * Milliseconds between two checks for messages to active runs. The checks are necessary, because
 * without a listening connection this process receives no notifications.
 */
const INBOX_CHECK_EVERY_MS = 1_000;
/**
 * A delivery that is early by at most this many milliseconds waits until its run is due. The
 * publisher announces nearly due runs without a delay, and QStash's delays have a resolution of one
 * second.
 */
const MAX_EARLY_MS = 1_000;
/**
 * Milliseconds before the end of its request at which a delivery stops executing its run. In this
 * time the delivery releases the run, so that another delivery can claim it, and answers.
 */
const ANSWER_MARGIN_MS = 2_000;
/** Milliseconds for which close() waits for a session that is being opened by a slow database. */
const SESSION_TIMEOUT_MS = 3_000;
/**
 * Milliseconds for which close() waits until current deliveries have their outcomes. A delivery
 * that has released its run may still have to announce the run to QStash.
 */
const ANSWERS_TIMEOUT_MS = 3_000;
/** Largest number of runs whose wait a delivery ends, besides its own run. */
const MAX_WOKEN = 100;
/**
 * Milliseconds for which a normal delivery waits while another delivery executes its run alone
 * (exclusively). An exclusive delivery waits this long plus the time budget of a normal delivery,
 * but at most half of the delivery timeout.
 */
const EXCLUSIVE_WAIT_MS = 5_000;

/**
 * Result of a delivery.
 *
 * - `executed`: the run was executed.
 * - `nothing`: this process has nothing to do. The run is not due, has ended, or belongs to another
 *   process.
 * - `early`: the run is not due yet, and QStash has a new message for it.
 * - `notified`: the polling worker of this process was notified and will execute the run.
 * - `busy`: the run cannot be executed now; QStash must deliver the same message again.
 * - `closed`: this process no longer executes deliveries.
 */
export type DeliveryOutcome = 'executed' | 'nothing' | 'early' | 'notified' | 'busy' | 'closed';

/**
 * Outcome of a delivery, or `suspect`: several processes died while they executed the run, so it
 * may only be executed alone.
 */
type Verdict = DeliveryOutcome | 'suspect';

type Mode = 'alone' | 'with others';

/**
 * Executes the runs that QStash delivers, each as far as the time of its request allows. Between
 * deliveries this process has no session, no timer and no query. A platform may therefore freeze
 * the process between deliveries: it owns no runs that another process would have to take over.
 */
export class Deliveries {
  private worker: Worker | undefined;
  private active = 0;
  /** Outcomes of current deliveries, which close() awaits. */
  private readonly outcomes = new Set<Promise<unknown>>();
  private readonly lock: SharedExclusiveLock;
  private isClosed = false;
  private inboxTimer: NodeJS.Timeout | undefined;
  /**
   * Latest opening or closing of a session. A later opening or closing begins after this one has
   * ended.
   */
  private sessionChange: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly database: Database,
    private readonly createWorker: () => Worker,
    private readonly publisher: Publisher,
    private readonly settings: QStashSettings,
    private readonly warn: Warn,
    private readonly admissions: Admissions,
    /** Called when a run has left this process, before the delivery is answered. */
    private readonly left: (run: ClaimedRun) => Promise<void>,
  ) {
    this.lock = new SharedExclusiveLock(
      EXCLUSIVE_WAIT_MS,
      Math.min(settings.timeBudgetMs + EXCLUSIVE_WAIT_MS, settings.deliveryTimeoutMs / 2),
    );
  }

  /** Worker of the current session; undefined between deliveries. */
  get current(): Worker | undefined {
    return this.worker;
  }

  /**
   * Executes the run that a message names.
   *
   * @returns the result, which decides how the request is answered
   * @throws errors of the database
   */
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
      const first = await this.withLock(this.lock.acquireShared(), () => this.execute(message, 'with others', since));
      // The delivery has already released its shared lock. If it still held that lock, it would
      // wait for itself, because the exclusive lock is granted after all shared locks are released.
      const outcome =
        first === 'suspect' ? await this.withLock(this.lock.acquireExclusive(), () => this.execute(message, 'alone', since)) : first;
      await this.publisher.flush();
      return outcome === 'suspect' ? 'busy' : outcome;
    } finally {
      this.active--;
      await this.closeIdleSession();
    }
  }

  /**
   * Accepts no more deliveries, lets current step bodies end, and releases the remaining runs to
   * other processes.
   */
  async close(): Promise<void> {
    this.isClosed = true;
    this.lock.close();
    await within(
      SESSION_TIMEOUT_MS,
      this.sessionChange.catch(() => undefined),
    );
    clearInterval(this.inboxTimer);
    await this.worker?.stop();
    // Wait for deliveries that have released their run and only have to return their outcome.
    // Without this wait, QStash would get an error for an executed run, and repeat the message.
    await within(ANSWERS_TIMEOUT_MS, Promise.allSettled(this.outcomes));
  }

  private async withLock(acquired: Promise<Release | undefined>, work: () => Promise<Verdict>): Promise<Verdict> {
    const release = await acquired;
    if (!release) return this.isClosed ? 'closed' : 'busy';
    try {
      return await work();
    } finally {
      release();
    }
  }

  /**
   * Claims and executes the run.
   *
   * @param since time of the request, on the clock of performance.now(); the platform's timeout
   *   counts from this time
   */
  private async execute(message: WakeUpMessage, mode: Mode, since: number): Promise<Verdict> {
    if (this.isClosed) return 'closed';
    const worker = await this.openSession();
    const claimed = await this.claim(worker, message, mode);
    if (typeof claimed === 'string') return claimed;
    const { id, name } = claimed;
    const { timeBudgetMs, deliveryTimeoutMs } = this.settings;
    const leftMs = Math.max(0, deliveryTimeoutMs - ANSWER_MARGIN_MS - (performance.now() - since));
    const timers = [
      setTimeout(() => worker.handOver(id, 'soon'), Math.min(timeBudgetMs, leftMs)),
      setTimeout(() => this.cutOff(worker, { id, name }), leftMs),
    ];
    try {
      await worker.gone(id);
      // Wait until the receivers of the run's messages have been notified and announced. A platform
      // may freeze the process after the answer, and then only the sweep would find these runs.
      await worker.messagesNotified();
      await this.admissions.settled();
      await this.left(claimed);
    } finally {
      timers.forEach(clearTimeout);
    }
    return 'executed';
  }

  private cutOff(worker: Worker, { id, name }: Pick<ClaimedRun, 'id' | 'name'>): void {
    const limit = `${this.settings.deliveryTimeoutMs} ms (qstash.deliveryTimeout)`;
    this.warn(
      'qstash-delivery-cut-off',
      `run "${id}" (${name}): the delivery reached its limit of ${limit} in the middle of a step; another delivery executes the step again`,
      undefined,
      { runId: id, workflow: name },
    );
    worker.handOver(id, 'now');
  }

  /**
   * Claims the run that a message names.
   *
   * @returns the run, or the outcome of the delivery when it cannot execute the run
   */
  private async claim(worker: Worker, message: WakeUpMessage, mode: Mode): Promise<ClaimedRun | Verdict> {
    const run = await worker.claimById(message.run, mode);
    if (run) return run;
    await this.wakeQueued();
    const [listed] = await readWakeUps(this.database, [message.run]);
    const verdict = listed ? this.explainUnclaimed(worker, message, listed) : 'nothing';
    if (!listed || verdict !== 'early') return verdict;
    if (listed.dueInMs > MAX_EARLY_MS) {
      await this.publisher.announce([{ id: message.run }]);
      return 'early';
    }
    // Wait here instead of announcing the run again. An announcement within the same second has the
    // same deduplication id, so QStash would drop it.
    await sleep(Math.ceil(listed.dueInMs) + 1);
    return this.claim(worker, message, mode);
  }

  /**
   * Requests places for runs of queues with limits whose delay or sleep has ended. Only a run that
   * has a place can be claimed, and processes that QStash calls have no timers.
   */
  private async wakeQueued(): Promise<void> {
    if (!this.database.queues.isAny) return;
    const { queued } = await wakeDueRuns(this.database, MAX_WOKEN);
    for (const { queue, key } of queued) void this.admissions.request(queue, key);
  }

  /** Returns the outcome for a run that could not be claimed and still has to be executed. */
  private explainUnclaimed(worker: Worker, { seq }: WakeUpMessage, listed: ListedRun): Verdict {
    // This process is closing, so QStash must deliver the message to another process.
    if (this.isClosed) return 'closed';
    // If `seq` differs, the message is an old one: it was processed before the run began to sleep.
    // Another message announces the end of the sleep.
    if (listed.dueInMs > 0) return isSameWait(seq, listed.seq) ? 'early' : 'nothing';
    if (!worker.serves(listed)) return 'nothing';
    if (listed.losses >= SUSPECT_LOSSES) return 'suspect';
    // Either the run became due just now, or this worker has lost its session without noticing, for
    // example while the platform had frozen the process. In both cases QStash must deliver the
    // message again.
    return 'busy';
  }

  private openSession(): Promise<Worker> {
    return this.inSequence(async () => {
      if (this.worker) return this.worker;
      const worker = this.createWorker();
      await worker.start();
      const failed = (error: unknown): void => this.warn('reconcile-failed', 'qstash: could not check for messages to active runs', error);
      this.inboxTimer = setInterval(() => void worker.reconcile().catch(failed), INBOX_CHECK_EVERY_MS);
      return (this.worker = worker);
    });
  }

  private closeIdleSession(): Promise<void> {
    return this.inSequence(async () => {
      if (this.active > 0 || !this.worker || this.isClosed) return;
      const { worker } = this;
      this.worker = undefined;
      clearInterval(this.inboxTimer);
      await worker.stop();
    });
  }

  private inSequence<T>(work: () => Promise<T>): Promise<T> {
    const done = this.sessionChange.then(work, work);
    this.sessionChange = done.catch(() => undefined);
    return done;
  }
}
