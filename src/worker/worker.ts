import { setTimeout as sleep } from 'node:timers/promises';

import { ClosedError, FencedError } from '../core/errors/index.js';
import type { DispatchKey, OwnedRun } from '../core/run.js';
import { EMPTY_HISTORY, type History } from '../core/step.js';
import type { Committed, Transition } from '../core/transition.js';
import { within } from '../core/within.js';
import type { EngineSettings, PassOutcome } from '../engine/ports.js';
import type { Database } from '../store/database.js';
import type { Journal } from '../store/journal.js';
import type { ClaimedRun } from '../store/sql/claim-runs.js';
import { listOwnedRuns } from '../store/sql/inbox.js';
import { loadHistories } from '../store/sql/load-histories.js';
import { Claimer } from './claimer.js';
import { Execution, type ExecutionHost } from './execution.js';
import { historyBatches } from './history-batches.js';
import { Mail } from './mail.js';
import { Quarantine } from './quarantine.js';
import type { WorkflowRegistry } from './registry.js';
import type { Session } from './session.js';
import { Slots } from './slots.js';
import type { Reservation, WorkerEvents, WorkerOptions } from './worker-types.js';

/** How long the last writes of a closing process may take. */
const LAST_WRITES_MS = 3_000;
/** How long the goodbye may take; without one, others notice. */
const GOODBYE_MS = 2_000;

/**
 * Claims due runs, executes them with the engine, and lets go of those that end or only wait. It takes no more than it has free slots; who
 * tells it that something is due is a transport's business.
 */
export class Worker implements ExecutionHost {
  readonly settings: EngineSettings;
  readonly parkAfterMs: number;
  readonly deploymentId: string;
  private readonly executions = new Map<string, Execution>();
  private readonly keys: readonly DispatchKey[];
  private state: 'stopped' | 'running' | 'stopping' = 'stopped';
  private readonly slots: Slots;
  private readonly mail: Mail;
  private readonly claimer: Claimer;
  private claiming = false;
  private claimAgain = false;
  /** The last claim took all that it asked for: there is more. */
  private backlog = false;
  private readonly quarantine: Quarantine;
  /** Runs that have been claimed and whose histories are on their way. */
  private readonly taking = new Set<string>();
  /** Runs that the database said are ours and that we do not have, with their epochs, when we last looked. */
  private strays = new Map<string, number>();

  constructor(
    private readonly database: Database,
    private readonly journal: Journal,
    private readonly registry: WorkflowRegistry,
    private readonly session: Session,
    private readonly options: WorkerOptions,
    private readonly events: WorkerEvents,
  ) {
    this.settings = options.engine;
    this.parkAfterMs = options.parkAfterMs;
    this.deploymentId = options.deploymentId;
    this.keys = registry.keys(options.queues);
    this.slots = new Slots(options.concurrency);
    this.claimer = new Claimer(database);
    this.mail = new Mail(database, this.executions);
    this.quarantine = new Quarantine(database, {
      execute: (runs, sessionId) => this.take(runs, sessionId),
      handBack: (runs) => this.handBackUnstarted(runs),
      wake: () => this.wake(),
    });
  }

  get dispatchKeys(): readonly DispatchKey[] {
    return this.keys;
  }

  async start(): Promise<void> {
    this.journal.useSession(await this.session.open());
    this.state = 'running';
    this.wake();
  }

  /** Something may be due: look, if there is room. */
  wake(): void {
    if (this.state !== 'running') return;
    if (this.claiming) this.claimAgain = true;
    else if (this.slots.free > 0 || this.quarantine.isActive) void this.claim();
  }

  /** A slot for a run that is about to be started here, if there is one and nothing older waits for it. */
  reserve(key: DispatchKey): Reservation | undefined {
    if (this.state !== 'running' || !this.options.localDispatch || !this.session.id) return undefined;
    if (this.backlog || this.slots.free === 0 || this.quarantine.isActive) return undefined;
    if (!this.options.queues.includes(key.queue) || !this.registry.find(key.name, key.version)) return undefined;
    const sessionId = this.session.id;
    let held = true;
    this.slots.take();
    const release = (): void => {
      if (held) this.freeSlots(1);
      held = false;
    };
    return {
      execute: (run) => {
        if (this.state === 'running' && this.session.id === sessionId) {
          held = false;
          return this.begin(run, EMPTY_HISTORY);
        }
        release();
        if (this.session.id === sessionId) this.handBackUnstarted([run]);
      },
      release,
    };
  }

  /** Looks for messages to these runs, where this process has them. */
  async checkMessages(runIds: readonly string[]): Promise<void> {
    if (this.session.id) await this.mail.check(this.session.id, runIds);
  }

  /**
   * Compares what this process has with what the database says it owns: finds messages of which no notice came, and runs that a claim gave it
   * whose answer was lost. Those are handed back, once they have been seen twice.
   */
  async reconcile(): Promise<void> {
    const sessionId = this.session.id;
    if (!sessionId || this.state !== 'running') return;
    this.warnWhenStuck();
    const rows = await listOwnedRuns(this.database, sessionId);
    if (this.session.id !== sessionId || this.state !== 'running') return;
    const strays = rows.filter((row) => !this.executions.has(row.id) && !this.taking.has(row.id) && !this.quarantine.holds(row.id));
    const before = this.strays;
    this.strays = new Map(strays.map((row) => [row.id, row.epoch]));
    const given = strays.filter((row) => before.get(row.id) === row.epoch);
    if (given.length > 0)
      this.events.log('warn', `${given.length} runs were claimed without this process hearing of it; they are handed back`);
    this.handBackUnstarted(given);
    await this.mail.deliver(rows.filter((row) => (this.executions.get(row.id)?.wakeCount ?? row.wakeCount) !== row.wakeCount));
  }

  /** The session is gone: everything that it owned is somebody else's. Stops it quietly and goes on under a new session. */
  async fenced(sessionId: string): Promise<void> {
    if (this.session.id !== sessionId) return;
    this.session.drop();
    this.journal.useSession(null);
    this.backlog = false;
    this.events.log('warn', `this worker's session was taken over; its ${this.executions.size} runs go on elsewhere`);
    const reason = new FencedError('this worker lost its session');
    for (const execution of this.executions.values()) {
      execution.abandon(reason);
      this.forget(execution);
    }
    this.quarantine.end();
    for (let pause = 50; this.state === 'running'; pause = Math.min(pause * 2, 2_000)) {
      try {
        this.journal.useSession(await this.session.open());
        return this.wake();
      } catch (error) {
        this.events.log('warn', 'no new session yet', error);
        await sleep(pause);
      }
    }
  }

  /** Stops claiming, lets step bodies finish for `shutdownTimeout`, hands every run back and says goodbye. */
  async stop(): Promise<void> {
    if (this.state !== 'running') return;
    this.state = 'stopping';
    await this.bodiesFinished(performance.now() + this.options.shutdownTimeoutMs);
    const reason = new ClosedError();
    for (const execution of this.executions.values()) execution.handBack(reason);
    this.handBackUnstarted(this.quarantine.end());
    await this.journal.drain(LAST_WRITES_MS);
    await within(GOODBYE_MS, this.session.close());
    this.state = 'stopped';
    this.journal.useSession(null);
    this.executions.clear();
  }

  submit(transition: Transition, done: (committed: Committed) => void, failed: (error: Error) => void): void {
    this.journal.submit(transition, done, failed);
  }

  slotWanted(execution: Execution, wanted: 'yes' | 'no'): void {
    if (execution.holdsSlot === (wanted === 'yes')) return;
    execution.holdsSlot = wanted === 'yes';
    if (execution.holdsSlot) this.slots.take();
    else this.freeSlots(1);
  }

  released(execution: Execution, outcome: PassOutcome | undefined): void {
    this.forget(execution);
    if (outcome) this.events.ended(execution.run, outcome);
    else if (this.state === 'stopping') this.events.due([execution.run]);
  }

  parked(wakeAt: number): void {
    this.events.parked(wakeAt);
  }

  moved(execution: Execution): void {
    void this.checkMessages([execution.run.id]).catch((error: unknown) => this.events.log('warn', 'messages could not be read', error));
  }

  restart(execution: Execution): void {
    const { run } = execution;
    void loadHistories(this.database, [run.id]).then(
      (histories) => {
        if (this.executions.get(run.id) !== execution) return;
        this.slotWanted(execution, 'yes');
        this.begin({ ...run, wakeCount: execution.wakeCount }, histories.get(run.id)!);
      },
      (error: unknown) => this.giveBack(execution, error),
    );
  }

  blocked(execution: Execution, error: Error): void {
    this.events.log('warn', `run "${execution.run.id}" waits for a deployment whose code fits its history`, error);
  }

  private giveBack(execution: Execution, error: unknown): void {
    this.events.log('warn', `run "${execution.run.id}" could not be continued here`, error);
    this.handBackUnstarted([execution.run]);
    this.forget(execution);
  }

  /** Runs that wait for each other, or for something that never comes, would hold all slots for ever without a word. */
  private warnWhenStuck(): void {
    const seconds = this.slots.stuckForSeconds();
    if (seconds === undefined) return;
    const names = new Map<string, number>();
    for (const { run, holdsSlot } of this.executions.values()) if (holdsSlot) names.set(run.name, (names.get(run.name) ?? 0) + 1);
    const holders = [...names].map(([name, count]) => `${count} of "${name}"`).join(', ');
    this.events.log('warn', `all ${this.slots.size} slots have been taken for ${seconds} s, by ${holders}: due runs wait`);
  }

  private freeSlots(count: number): void {
    this.slots.release(count);
    if (this.backlog) this.wake();
  }

  private async claim(): Promise<void> {
    this.claiming = true;
    try {
      do {
        this.claimAgain = false;
        await this.claimOnce();
      } while ((this.claimAgain || this.backlog) && this.state === 'running' && this.slots.free > 0);
    } catch (error) {
      this.backlog = false;
      this.events.log('warn', 'due runs could not be claimed', error);
    } finally {
      this.claiming = false;
    }
  }

  private async claimOnce(): Promise<void> {
    const sessionId = this.session.id;
    if (!sessionId || this.keys.length === 0) {
      // Or the loop that claims for as long as there is more would never let anything else happen.
      this.backlog = false;
      return;
    }
    if (this.quarantine.isActive) {
      this.backlog = false;
      await this.quarantine.advance(sessionId, this.executions.size);
      if (this.quarantine.isActive) return;
    }
    const limit = this.slots.free;
    if (limit === 0) return;
    const claim = { sessionId, keys: this.keys, deploymentId: this.deploymentId, limit };
    const runs = await this.claimer.claim(claim);
    // Fewer than asked for, from a place in the middle, says nothing of what stands before it.
    this.backlog = runs.length >= limit || this.claimer.isUnsure;
    await this.take(runs, sessionId);
    if (this.quarantine.isDueForLook) {
      await this.quarantine.look({ ...claim, limit: this.slots.size });
      if (this.quarantine.isActive) this.claimAgain = true;
    }
  }

  private async take(runs: readonly ClaimedRun[], sessionId: string): Promise<void> {
    this.slots.take(runs.length);
    this.beginClaimed(
      runs.filter((run) => !run.hasHistory),
      sessionId,
      () => EMPTY_HISTORY,
    );
    const known = runs.filter((run) => run.hasHistory);
    if (known.length === 0) return;
    for (const run of known) this.taking.add(run.id);
    for (const batch of historyBatches(known)) {
      const ids = batch.map((run) => run.id);
      try {
        const histories = await loadHistories(this.database, ids);
        this.beginClaimed(batch, sessionId, (id) => histories.get(id)!);
      } catch (error) {
        this.events.log('warn', 'histories could not be loaded; the runs are handed back', error);
        this.freeSlots(batch.length);
        this.handBackUnstarted(batch);
      }
    }
    for (const run of known) this.taking.delete(run.id);
    await this.mail.deliver(known);
  }

  /** Much may have happened since the claim was sent. */
  private beginClaimed(runs: readonly ClaimedRun[], sessionId: string, historyOf: (id: string) => History): void {
    if (this.session.id === sessionId && this.state === 'running') {
      for (const run of runs) this.begin(run, historyOf(run.id));
      return;
    }
    this.freeSlots(runs.length);
    if (this.session.id === sessionId) this.handBackUnstarted(runs);
  }

  private begin(run: OwnedRun, history: History): void {
    const definition = this.registry.find(run.name, run.version)!;
    const execution = new Execution(run, definition, history, this);
    this.executions.set(run.id, execution);
    execution.pass.start();
  }

  private handBackUnstarted(runs: readonly Pick<OwnedRun, 'id' | 'epoch' | 'historyBytes'>[]): void {
    for (const { id, epoch, historyBytes } of runs) {
      const ignore = (): void => undefined;
      this.submit({ kind: 'change', runId: id, epoch, change: { status: 'pending' }, historyBytes }, ignore, ignore);
    }
  }

  private forget(execution: Execution): void {
    if (this.executions.get(execution.run.id) === execution) this.executions.delete(execution.run.id);
    this.slotWanted(execution, 'no');
    if (this.executions.size === 0 && this.quarantine.isActive) this.wake();
  }

  /** Until `deadline`, of performance.now(). */
  private async bodiesFinished(deadline: number): Promise<void> {
    for (const execution of this.executions.values()) execution.pass.hold();
    while (performance.now() < deadline && [...this.executions.values()].some((execution) => execution.pass.isWorking)) await sleep(5);
  }
}
