import { performance } from 'node:perf_hooks';

import { clearTimeout, setTimeout, sleep } from '../core/timers.js';
import { ClosedError, FencedError } from '../core/errors/index.js';
import type { OwnedRun } from '../core/run.js';
import { EMPTY_HISTORY, type History } from '../core/step.js';
import type { PassOutcome } from '../engine/ports.js';
import type { Database } from '../store/database.js';
import type { Journal } from '../store/journal.js';
import type { RunNotifier } from '../store/run-notifier.js';
import { loadHistories } from '../store/sql/load-histories.js';
import { Execution } from './execution.js';
import type { ExecutionDelegate, ExecutionServices } from './execution-services.js';
import { HistoryCache } from './history-cache.js';
import type { OwnedRunState } from './failover-check.js';
import type { Body } from './loop-watch.js';
import { InboxReader, UNREAD } from './inbox-reader.js';
import { RunEffects } from './run-effects.js';
import { RunLog } from './run-log.js';
import { WorkerLog } from './worker-log.js';
import type { WorkflowRegistry } from './registry.js';
import type { Session } from './session.js';
import { Slots } from './slots.js';
import type { RunSlot } from './run-slot.js';
import { UnstartedRuns } from './unstarted-runs.js';
import type { WorkerEvents, WorkerOptions } from './worker-types.js';

/** The claimer, which claims runs when there is room for them. */
interface ActiveRunsDelegate {
  /** Called when a run may be admitted that could not be admitted before. */
  slotFreed(): void;
  /** Called when no run is active any more. */
  emptied(): void;
}

/** Milliseconds between two checks of the runs that wait for a slot. */
const QUEUE_CHECK_MS = 500;

/** Maximum number of runs that `unwritableRuns` lists. */
const MAX_SHOWN = 100;

/**
 * The runs that this process executes. A run leaves this list when it ends, is suspended, is handed
 * back, or is taken over by another process.
 */
export class ActiveRuns implements ExecutionDelegate<Execution> {
  readonly slots: Slots;
  readonly histories = new HistoryCache();
  readonly unstarted: UnstartedRuns;
  readonly inboxes: InboxReader;
  readonly effects: RunEffects;
  readonly log: RunLog;
  private readonly services: ExecutionServices;
  private readonly executions = new Map<string, Execution>();
  private queueTimer: NodeJS.Timeout | undefined;
  /** Functions to call when a run leaves this process, by the run's id. */
  private readonly departures = new Map<string, (() => void)[]>();

  constructor(
    private readonly database: Database,
    private readonly journal: Journal,
    notifier: RunNotifier,
    private readonly registry: WorkflowRegistry,
    session: Session,
    options: WorkerOptions,
    private readonly events: WorkerEvents,
    private readonly delegate: ActiveRunsDelegate,
  ) {
    const slotsDelegate = { slotFreed: () => delegate.slotFreed(), slotQueued: () => this.watchQueue() };
    this.slots = new Slots(options.concurrency, options.takes === 'named' ? 'counted' : 'limited', slotsDelegate);
    this.unstarted = new UnstartedRuns(journal, events, options);
    const unread = (error: unknown): void => events.log('warn', 'messages-not-read', 'worker: could not read messages', error);
    this.inboxes = new InboxReader(database, () => session.id, this.executions, unread);
    const { engine, metrics, emitted } = options;
    this.effects = new RunEffects(database, journal, notifier, session, engine.payloads, events, engine.now, metrics, emitted);
    this.log = new RunLog(events, options.deploymentId);
    const { inboxes, effects, log, histories } = this;
    this.services = { options, journal, effects, inboxes, histories, events, log };
  }

  get size(): number {
    return this.executions.size;
  }

  /** Number of active runs of a queue. */
  countIn(queue: string): number {
    return [...this.executions.values()].filter(({ run }) => run.queue === queue).length;
  }

  has(runId: string): boolean {
    return this.executions.has(runId);
  }

  /** Approximate number of bytes in the histories of the active runs. */
  get historyBytes(): number {
    return [...this.executions.values()].reduce((sum, { journal }) => sum + journal.historyBytes, 0);
  }

  /**
   * Returns the active runs, each with the state that this process expects in the database. A
   * failover that lost commits makes the states differ.
   */
  ownedRuns(): OwnedRunState[] {
    return [...this.executions.values()].map(({ run, pass, isLeaving }) => ({
      id: run.id,
      epoch: run.epoch,
      lastSeq: pass.durableSeq,
      isLeaving,
    }));
  }

  /**
   * True when this process still executes a deleted run that had the id of the given new run. A new
   * claim of the run in memory would have a higher epoch. An epoch that is not higher therefore
   * belongs to another run.
   */
  hasFormer({ id, epoch }: Pick<OwnedRun, 'id' | 'epoch'>): boolean {
    const former = this.executions.get(id);
    return former !== undefined && former.run.epoch >= epoch;
  }

  /** Stops executing a deleted run. Resolves when nothing more of the run can be written. */
  async dropFormer(runId: string): Promise<void> {
    const former = this.executions.get(runId);
    const discarded = this.journal.discard(runId);
    if (former) {
      this.log.deleted(runId);
      former.abandon(new FencedError(`run "${runId}" has been deleted`));
      this.forget(former);
    }
    await discarded;
  }

  /** Yields the step bodies that are being executed, each with the id of its run. */
  *bodies(): Iterable<Body> {
    for (const { run, pass } of this.executions.values())
      for (const { stepKey, attempt } of pass.bodies) yield { runId: run.id, stepKey, attempt };
  }

  /** Begins executing a run that was admitted. */
  begin(run: OwnedRun, history: History, begin: 'atOnce' | 'inboxFirst' = 'atOnce', slot: RunSlot = this.slots.open()): void {
    // No need to wait: the flush that stored the new run wrote the deleted run's pending changes.
    if (this.hasFormer(run)) void this.dropFormer(run.id);
    const definition = this.registry.find(run.name, run.version)!;
    const former = this.executions.get(run.id);
    if (former?.known) this.histories.drop(former.known);
    const known = history === EMPTY_HISTORY ? undefined : this.histories.follow(run, history);
    const execution = new Execution(run, definition, history, this.services, this, known, slot);
    this.executions.set(run.id, execution);
    execution.start(begin);
  }

  /**
   * Resolves when this process no longer executes the run, or at once if this process does not
   * execute the run.
   */
  departed(runId: string): Promise<void> {
    if (!this.executions.has(runId)) return Promise.resolve();
    return new Promise((resolve) => {
      this.departures.set(runId, [...(this.departures.get(runId) ?? []), resolve]);
    });
  }

  /**
   * Hands a run over to other processes.
   *
   * @param when `now` aborts active step bodies; `soon` waits until they have ended and this
   *   process has recorded at least one result of the run
   */
  handOver(runId: string, when: 'soon' | 'now', reason: unknown): void {
    const execution = this.executions.get(runId);
    if (when === 'now' && !execution?.hasLeft) execution?.handBack(reason);
    else execution?.handOver(reason);
  }

  /**
   * Delivers new messages to runs whose wake counters in the database differ from those in memory.
   */
  async deliverNew(rows: readonly { readonly id: string; readonly wakeCount: number }[]): Promise<void> {
    await this.inboxes.deliver(rows.filter((row) => (this.executions.get(row.id)?.wakeCount ?? row.wakeCount) !== row.wakeCount));
  }

  /**
   * Lets no further step body begin. Resolves when no body is active and every result is durable,
   * or at `deadline`, which is a time of performance.now().
   */
  async bodiesFinished(deadline: number): Promise<void> {
    for (const execution of this.executions.values()) execution.pass.hold();
    while (performance.now() < deadline && [...this.executions.values()].some((execution) => execution.pass.isWorking)) await sleep(5);
  }

  handBackAll(reason: unknown): void {
    this.slots.dequeueAll();
    for (const execution of this.executions.values()) execution.handBack(reason);
  }

  /** Stops all runs at once, and writes nothing: the session or some commits are lost. */
  abandonAll(reason: unknown): void {
    this.slots.dequeueAll();
    for (const execution of this.executions.values()) {
      execution.abandon(reason);
      this.forget(execution);
    }
  }

  clear(): void {
    clearTimeout(this.queueTimer);
    this.slots.dequeueAll();
    for (const [id, execution] of this.executions) {
      execution.abandon(new ClosedError());
      this.remove(id);
    }
  }

  /**
   * Warns when no slot has been free for a long time: the active runs may wait for each other, or
   * for something that never happens.
   */
  warnWhenStuck(): void {
    const seconds = this.slots.stuckForSeconds();
    if (seconds === undefined) return;
    const holders = [...this.executions.values()].filter(({ slot }) => slot.isHeld).map(({ run }) => run.name);
    new WorkerLog(this.events).slotsTaken(this.slots.size, seconds, holders);
  }

  released(execution: Execution, outcome: PassOutcome | undefined): void {
    this.forget(execution);
    const { queue, queueKey, hasPlace } = execution.run;
    if (hasPlace) this.events.placeFreed(queue, queueKey ?? '');
    if (outcome) this.ended(execution.run, outcome);
  }

  handedBack(execution: Execution): void {
    const { id, queue, name, version } = execution.run;
    void this.events.due([{ id, queue, name, version, isAdmitted: true }]);
    this.forget(execution);
  }

  restart(execution: Execution): void {
    const { run } = execution;
    void loadHistories(this.database, [run.id]).then(
      (histories) => {
        if (this.executions.get(run.id) !== execution) return execution.slot.rest();
        if (this.services.options.engine.isClosing()) return this.giveBack(execution, new ClosedError());
        execution.slot.release();
        if (execution.known) this.histories.drop(execution.known);
        this.executions.delete(run.id);
        // The former pass may have read messages that it did not take.
        this.begin({ ...run, wakeCount: UNREAD }, histories.get(run.id)!, 'inboxFirst', execution.slot);
        this.inboxes.checkSoon(run.id);
        if (execution.handover) this.executions.get(run.id)?.handOver(execution.handover.reason);
      },
      (error: unknown) => this.giveBack(execution, error),
    );
  }

  /** Active runs for which the database refuses every change of the run's row. */
  get unwritableRuns(): { runId: string; since: number; error: Error }[] {
    const all = [...this.executions.values()];
    return all.flatMap(({ run, unwritableSince }) => (unwritableSince ? [{ runId: run.id, ...unwritableSince }] : [])).slice(0, MAX_SHOWN);
  }

  private ended(run: OwnedRun, outcome: PassOutcome): void {
    this.events.ended(run, outcome);
    const continuedAs = outcome.status === 'completed' ? outcome.continuedAs : undefined;
    if (continuedAs) this.effects.started(continuedAs);
    else if (run.parent) this.effects.sent([run.parent.runId]);
  }

  private giveBack(execution: Execution, error: unknown): void {
    this.log.notContinued(execution.run, error);
    this.unstarted.handBack([execution.run], 'this');
    this.forget(execution);
  }

  private forget(execution: Execution): void {
    const { id } = execution.run;
    if (execution.known) this.histories.drop(execution.known);
    if (this.executions.get(id) === execution) this.remove(id);
    execution.slot.rest();
    if (this.executions.size === 0) this.delegate.emptied();
  }

  /** Hands back runs that wait for a slot for too long. */
  private watchQueue(): void {
    this.queueTimer ??= setTimeout(() => {
      this.queueTimer = undefined;
      for (const execution of this.executions.values())
        if (execution.slot.isOverdue(performance.now())) execution.handBack(new ClosedError());
      if (this.slots.isQueueing) this.watchQueue();
    }, QUEUE_CHECK_MS);
  }

  private remove(id: string): void {
    this.executions.delete(id);
    for (const left of this.departures.get(id) ?? []) left();
    this.departures.delete(id);
  }
}
