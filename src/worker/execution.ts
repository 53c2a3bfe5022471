import { clearTimeout, setTimeout } from '../core/timers.js';
import { tracer, type PassOutcomeName, type PassSpan } from '../core/tracing.js';
import type { OwnedRun } from '../core/run.js';
import type { History } from '../core/step.js';
import { Pass } from '../engine/pass.js';
import type { AttemptFailure, PassFault, PassOutcome, PassPort, WorkflowDefinition } from '../engine/ports.js';
import type { ExecutionDelegate, ExecutionServices } from './execution-services.js';
import { HANDING_OVER, idleCheckMs, LEFT, LISTENING, PAUSING, RUNNING, type ExecutionState } from './execution-state.js';
import type { KnownHistory } from './history-cache.js';
import { InboxState } from './inbox-state.js';
import { failedByMismatch, inSameQueue, spanOutcomeOf } from './outcomes.js';
import { RunChanges, type RunChangesDelegate, type Suspension } from './run-changes.js';
import type { RunSlot } from './run-slot.js';
import { RunRecorder, type RunRecorderDelegate } from './run-recorder.js';

/**
 * Executes one run in this process, and decides when the run is suspended, paused, handed back or
 * ended. The table of states and events is in execution-state.ts.
 */
export class Execution implements PassPort, RunRecorderDelegate, RunChangesDelegate {
  readonly pass: Pass;
  readonly span: PassSpan | undefined;
  readonly journal: RunRecorder;
  wakeCount: number;
  /** State of the run's inbox: which messages have been read. */
  readonly inbox = new InboxState();
  /** Time and error of the first refusal, while the database refuses every change of the row. */
  unwritableSince: { readonly since: number; readonly error: Error } | undefined;
  private state: ExecutionState = RUNNING;
  private isHandedBack = false;
  /** Request to continue the run in another process. Kept until the run leaves this process. */
  handover: { readonly reason: unknown } | undefined;
  private nextWake = Number.POSITIVE_INFINITY;
  /** Sequence number of the last result that was durable when this execution began. */
  private readonly firstSeq: number;
  private readonly changes: RunChanges;

  constructor(
    readonly run: OwnedRun,
    definition: WorkflowDefinition,
    history: History,
    private readonly services: ExecutionServices,
    private readonly owner: ExecutionDelegate<Execution>,
    /** Copy of the run's history in the cache; undefined when the cache keeps no copy. */
    readonly known: KnownHistory | undefined,
    readonly slot: RunSlot,
  ) {
    this.wakeCount = run.wakeCount;
    this.journal = new RunRecorder(run, this.inbox, known, services, this, history.steps);
    this.span = tracer?.pass(run);
    this.pass = new Pass(run, definition, history, this, services.options.engine);
    this.firstSeq = history.steps.at(-1)?.seq ?? 0;
    this.changes = new RunChanges(run, services.journal, this.journal, this);
  }

  /** True once the run's last change was sent: this process may no longer own the run. */
  get isLeaving(): boolean {
    return this.state.name === 'leaving' || this.hasLeft;
  }

  get hasLeft(): boolean {
    return this.state.name === 'left';
  }

  get isPausing(): boolean {
    return this.state.name === 'leaving' ? this.state.isPauseWanted : this.state.name === 'pausing';
  }

  /** Starts the workflow function. With `inboxFirst`, steps wait until the inbox has been read. */
  start(begin: 'atOnce' | 'inboxFirst'): void {
    if (begin === 'inboxFirst') {
      this.enter(LISTENING);
      this.pass.hold();
    }
    this.pass.start();
  }

  /** Stops the run at once. This process writes nothing more of the run, except its last change. */
  abandon(reason: unknown, outcome: PassOutcomeName = 'abandoned'): void {
    this.enter(LEFT);
    this.span?.end(outcome);
    this.journal.close();
    this.changes.close();
    this.pass.close(reason);
    this.slot.release();
  }

  /** Hands the run back: any worker may claim the run at once. Active step bodies are aborted. */
  handBack(reason: unknown): void {
    if (this.hasLeft) return;
    this.abandon(reason, 'handed_back');
    this.isHandedBack = true;
    // A run that has not begun here keeps its place in the order of claims.
    this.changes.handBack(this.slot.hasBegun || this.pass.durableSeq > this.firstSeq ? 'last' : 'as before');
  }

  /**
   * Hands the run back once this process has recorded a result of the run and no step body is
   * active. The recorded result guarantees progress, however often the run is handed over.
   */
  handOver(reason: unknown): void {
    this.handover = { reason };
    if (this.hasLeft) return;
    const { name } = this.state;
    if (name === 'listening' || name === 'running' || name === 'idle') this.handOverAfterProgress();
  }

  /** Called when the inbox has been read and its messages have been delivered. */
  inboxRead(): void {
    if (this.state.name === 'listening') this.continue();
  }

  /**
   * Pauses the run: begins no further step, lets active bodies finish, and releases the run once
   * their results are durable. Called each time the request to pause is read from the inbox.
   */
  pause(): void {
    const { state } = this;
    if (state.name === 'left' || state.name === 'pausing') return;
    if (state.name === 'leaving') return void (state.isPauseWanted = true);
    this.enter(PAUSING);
    this.whenBodiesFinished(() => this.leave({ status: 'paused', wakeAt: null, wakeCount: this.wakeCount }));
  }

  /** Called when an operator has withdrawn the request to pause. */
  unpause(): void {
    if (this.state.name === 'leaving') this.state.isPauseWanted = false;
    else if (this.state.name === 'pausing') this.continue();
  }

  /** Reads further messages, which were left in the table because the run held too many. */
  missing(): void {
    if (this.inbox.hasMore && !this.hasLeft) this.services.inboxes.readMore(this);
  }

  resultDurable(): void {
    if (this.handover) this.handOver(this.handover.reason);
  }

  warn(...warning: Parameters<PassPort['warn']>): void {
    this.services.log.warn(this.run, ...warning);
  }

  attemptFailed(failure: AttemptFailure): void {
    this.services.events.attemptFailed(this.run, failure);
  }

  ended(outcome: PassOutcome, leftovers: 'none' | 'some'): void {
    if (this.state.name === 'leaving') return void (this.state.end = () => this.ended(outcome, leftovers));
    const unchecked = this.journal.uncheckedChunks();
    if (unchecked) return void unchecked.then(() => this.hasLeft || this.ended(outcome, leftovers));
    this.enter(LEFT);
    this.slot.release();
    this.changes.end(inSameQueue(this.run, outcome), this.inbox.hasMore ? 'some' : leftovers);
  }

  faulted(fault: PassFault): void {
    if (fault.kind === 'restart') {
      // A run that has ended restarts too: its end was refused together with the result.
      if (this.isHandedBack) return;
      this.abandon(undefined, 'restarted');
      return this.owner.restart(this);
    }
    if (this.hasLeft) return;
    const { onMismatch, engine } = this.services.options;
    if (onMismatch === 'block') return this.block(fault.error);
    this.abandon(undefined, 'failed');
    this.changes.end(failedByMismatch(this.run, fault.error, engine.payloads), 'some');
  }

  idle(wakeAt: number): void {
    this.nextWake = wakeAt;
    if (this.hasLeft || this.state.name === 'idle') return;
    this.slot.rest();
    if (this.state.name === 'running')
      this.enter({ name: 'idle', timer: setTimeout(() => this.suspend(), this.services.options.suspendAfterMs) });
  }

  working(on: 'code' | 'results'): void {
    if (this.state.name === 'idle') this.enter(RUNNING);
    if (this.hasLeft) return;
    if (on === 'code') this.slot.hold();
    else this.slot.lend();
  }

  /** Blocks the run until another deployment claims the run, or an operator resumes it. */
  block(error: Error): void {
    this.abandon(undefined, 'blocked');
    this.services.log.blocked(this.run, error);
    this.changes.block(this.services.options.deploymentId, error);
  }

  retriesLater(message: string): void {
    this.warn('write-refused', message);
    this.slot.rest();
  }

  unwritable(error: Error): void {
    this.unwritableSince = { since: this.services.options.engine.now(), error };
    this.slot.rest();
    this.services.log.unwritable(this.run, error);
  }

  /** Called when this process no longer owns the run. */
  fenced(error: Error): void {
    if (this.hasLeft) return;
    this.abandon(error);
    this.released(undefined);
  }

  released(outcome: PassOutcome | undefined): void {
    this.span?.end(...spanOutcomeOf(outcome));
    this.owner.released(this, outcome);
  }

  handedBack(): void {
    this.owner.handedBack(this);
  }

  private enter(state: ExecutionState): void {
    if (this.state.name === 'idle') clearTimeout(this.state.timer);
    this.state = state;
  }

  /** Lets the workflow's code continue, unless the run is to be handed over now. */
  private continue(): void {
    this.enter(RUNNING);
    if (!this.handOverAfterProgress()) this.pass.resume();
  }

  /**
   * Hands the run over if a handover was requested and this process has recorded a result of the
   * run. Returns true when the handover has begun.
   */
  private handOverAfterProgress(): boolean {
    if (!this.handover || this.pass.durableSeq === this.firstSeq) return false;
    const { reason } = this.handover;
    this.enter(HANDING_OVER);
    this.whenBodiesFinished(() => this.handBack(reason));
    return true;
  }

  /**
   * Begins no further step. Calls `finished` once no body is active and every result is durable,
   * unless the state has changed by then.
   */
  private whenBodiesFinished(finished: () => void): void {
    const { state } = this;
    this.pass.hold();
    this.pass.whenAtRest(() => {
      if (this.state !== state) return;
      // The run left this state and entered it again, and a body is active: wait once more.
      if (this.pass.isWorking) this.whenBodiesFinished(finished);
      else finished();
    });
  }

  /** Suspends a run that only waits, unless it is held or has a timer within `suspendAfterMs`. */
  private suspend(): void {
    if (this.state.name !== 'idle') return;
    const { engine, suspendAfterMs } = this.services.options;
    const leftMs = this.inbox.isReading ? Math.min(0, this.nextWake) : this.nextWake - engine.now();
    // After a suspension, chunks that wait for a lookup would reach readers with the next claim.
    if (leftMs < suspendAfterMs || this.journal.uncheckedChunks()) {
      this.state.timer = setTimeout(() => this.suspend(), idleCheckMs(leftMs));
      return;
    }
    this.pass.hold();
    this.leave({ status: 'waiting', wakeAt: Number.isFinite(this.nextWake) ? this.nextWake : null, wakeCount: this.wakeCount });
  }

  /** Submits the suspension or the pause. The change takes effect unless a message has arrived. */
  private leave(change: Suspension): void {
    this.enter({ name: 'leaving', isPauseWanted: change.status === 'paused', end: undefined });
    const settled = (outcome: string): void => {
      if (this.hasLeft) return;
      if (outcome === 'moved') return this.stay();
      this.abandon(undefined, change.status === 'paused' ? 'paused' : 'suspended');
      const { id, queue, name, version } = this.run;
      if (change.status === 'waiting') this.services.options.metrics.runSuspended(name);
      if (change.wakeAt !== null) void this.services.events.due([{ id, queue, name, version, wakeAt: change.wakeAt }]);
      if (this.known) this.services.histories.keep(this.known);
      this.released(undefined);
    };
    this.changes.suspend(change, settled, (error) => this.fenced(error));
  }

  /** Continues the run in memory, because a message arrived before the run was suspended. */
  private stay(): void {
    const { state } = this;
    if (state.name !== 'leaving') return;
    if (state.end) {
      this.enter(RUNNING);
      return state.end();
    }
    if (state.isPauseWanted) this.enter(LISTENING);
    else this.continue();
    this.services.inboxes.checkSoon(this.run.id);
  }
}
