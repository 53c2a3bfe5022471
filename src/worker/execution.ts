import { clearTimeout, setTimeout } from '../core/timers.js';
import { RunAlreadyExistsError, StepNotRecordedError } from '../core/errors/index.js';
import { failureOf } from '../core/failure.js';
import type { NewRun, OwnedRun } from '../core/run.js';
import { encodeError } from '../core/serializer/index.js';
import type { History, OpenWait, StepRecord } from '../core/step.js';
import type { RunChange, RunEvent } from '../core/transition.js';
import { Pass } from '../engine/pass.js';
import type { AttemptFailure, NewHook, PassFault, PassOutcome, PassPort, WorkflowDefinition } from '../engine/ports.js';
import type { ExecutionDelegate } from './execution-delegate.js';
import type { KnownHistory } from './history-cache.js';
import { isForbidden } from '../store/database-errors.js';
import { RefusedChanges } from './refused-changes.js';
import { InboxState } from './inbox-state.js';
import { isRefusal, StepRecords } from './step-records.js';

const ignore = (): void => undefined;

/** A run in this process's hands: hands what its pass does to the journal, and suspends it when it only waits. */
export class Execution implements PassPort {
  readonly pass: Pass;
  wakeCount: number;
  /** How far the inbox of the run has been read. */
  readonly inbox = new InboxState();
  holdsSlot = true;
  private bytes: number;
  private suspendTimer: NodeJS.Timeout | undefined;
  private nextWake = Number.POSITIVE_INFINITY;
  private leaving = false;
  private unheard = false;
  /** An operator wants the run to rest: asked for, and whether it waits for bodies under way. */
  private pausing: 'no' | 'asked' | 'resting' = 'no';
  /** A suspension is on its way; and what the code came to meanwhile. */
  private suspending: { end: (() => void) | undefined } | undefined;
  /** What was recorded when it came here. */
  private readonly firstSeq: number;
  /** It is to go on elsewhere, as soon as it has got on here. */
  private handingOver: { readonly reason: unknown } | undefined;
  private readonly records: StepRecords;
  private readonly changes: RefusedChanges;
  /** Why the row of the run takes no change, where it takes none. */
  unwritable: { readonly since: number; readonly error: Error } | undefined;

  constructor(
    readonly run: OwnedRun,
    definition: WorkflowDefinition,
    history: History,
    private readonly host: ExecutionDelegate<Execution>,
    /** Kept up to date, where it is followed. */
    readonly known: KnownHistory | undefined,
  ) {
    this.wakeCount = run.wakeCount;
    this.bytes = run.historyBytes;
    this.pass = new Pass(run, definition, history, this, host.settings);
    this.firstSeq = history.steps.at(-1)?.seq ?? 0;
    this.records = new StepRecords(run.id, host, {
      waits: (message) => {
        host.warn(this, message);
        host.slotWanted(this, 'no');
      },
      givenUp: (error) => this.block(error),
    });
    this.changes = new RefusedChanges(run.id, {
      waits: (message) => {
        host.warn(this, message);
        host.slotWanted(this, 'no');
      },
      givenUp: (error) => this.block(error),
      unwritable: (error) => {
        this.unwritable = { since: host.settings.now(), error };
        host.slotWanted(this, 'no');
        host.unwritable(this, error);
      },
    });
  }

  /** About how many bytes of it are recorded, and on their way to be. */
  get historyBytes(): number {
    return this.bytes;
  }

  /** Its results up to this one are durable. */
  get durableSeq(): number {
    return this.pass.durableSeq;
  }

  /** It has ended, or is being suspended or handed back: it may have left this process's hands already. */
  get isLeaving(): boolean {
    return this.leaving || this.suspending !== undefined;
  }

  /** Stops at once: nothing more of this run is written here. */
  abandon(reason: unknown): void {
    this.leaving = true;
    clearTimeout(this.suspendTimer);
    this.records.close();
    this.changes.close();
    this.pass.close(reason);
  }

  /** Hands the run back: due at once for whoever claims it. Bodies under way are told to stop. */
  handBack(reason: unknown): void {
    if (this.leaving) return;
    this.abandon(reason);
    this.change({ status: 'pending' }, undefined);
  }

  /** The same once something of it has been recorded here, so that it gets on however often this is done, and no body is under way. */
  handOver(reason: unknown): void {
    if (this.leaving) return;
    this.handingOver = { reason };
    if (this.suspending || this.isPausing) return;
    if (this.durableSeq === this.firstSeq) return;
    this.pass.hold();
    this.pass.whenAtRest(() => {
      if (!this.isPausing && !this.suspending) this.handBack(reason);
    });
  }

  /** Begins nothing before its inbox has been read: a request to stop or to rest may wait there. */
  listenFirst(): void {
    this.unheard = true;
    this.pass.hold();
  }

  /** Its inbox has been read. */
  heard(): void {
    if (!this.unheard) return;
    this.unheard = false;
    if (!this.leaving && !this.isPausing) this.goOn();
  }

  get isPausing(): boolean {
    return this.pausing !== 'no';
  }

  /** Begins nothing new, lets bodies under way end, and leaves once what they came to is durable. Asked again when that failed because a message came. */
  pause(): void {
    if (this.leaving || this.pausing === 'resting') return;
    this.pausing = 'asked';
    if (this.suspending) return;
    this.pausing = 'resting';
    this.pass.hold();
    this.pass.whenAtRest(() => {
      if (this.leaving || this.pausing !== 'resting') return;
      this.pausing = 'asked';
      // Taken back meanwhile, and asked for again.
      if (this.pass.isWorking) return this.pause();
      clearTimeout(this.suspendTimer);
      this.suspendTimer = undefined;
      this.leave({ status: 'paused', wakeAt: null, wakeCount: this.wakeCount });
    });
  }

  /** The request to pause has been taken back. */
  unpause(): void {
    this.pausing = 'no';
    if (!this.leaving && !this.suspending) this.goOn();
  }

  private goOn(): void {
    this.pass.resume();
    if (this.handingOver) this.handOver(this.handingOver.reason);
  }

  record(step: StepRecord, closesWait: boolean, takes: string | null, durable: () => void, refused: (error: Error) => void): void {
    this.bytes += (step.output?.length ?? 0) + (step.error?.length ?? 0) + STEP_BYTES;
    const { id, epoch } = this.run;
    const recorded = (): void => {
      this.known?.recorded(step, closesWait);
      if (takes !== null) this.inbox.isGone(takes);
      durable();
      if (this.handingOver) this.handOver(this.handingOver.reason);
    };
    const transition = { kind: 'step', runId: id, epoch, step, closesWait, takes } as const;
    this.records.submit(transition, recorded, refused, (error) => this.fenced(error));
    if (takes !== null && this.inbox.hasMore) this.readMore();
  }

  missing(): void {
    if (this.inbox.hasMore) this.readMore();
  }

  private readMore(): void {
    if (!this.leaving) this.host.readMore(this);
  }

  openWait(wait: OpenWait, event: RunEvent | null, durable: () => void): void {
    const { id, epoch } = this.run;
    const opened = (): void => {
      this.known?.opened(wait);
      durable();
    };
    const lost = (error: Error): void => {
      // A retry whose event cannot be stored goes on without it: a crash loses its count of attempts.
      if (event !== null) return durable();
      // Any other wait would begin again with each claim, and never end.
      this.block(new StepNotRecordedError(id, wait.stepKey, { cause: error }));
    };
    this.host.submit({ kind: 'wait', runId: id, epoch, wait, event }, opened, (error) => this.refused(error, lost));
  }

  openChild(wait: OpenWait, child: NewRun, refused: (error: Error) => void): void {
    const { id, epoch } = this.run;
    this.host.submit(
      { kind: 'wait', runId: id, epoch, wait, event: null, child },
      ({ outcome, ...existing }) => {
        this.known?.opened(wait);
        if (outcome === 'exists') refused(new RunAlreadyExistsError(child.id, (existing as { name: string }).name));
        else this.host.started(child);
      },
      (error) => this.refused(error, refused),
    );
  }

  closeWait(stepKey: string): void {
    const { id, epoch } = this.run;
    this.host.submit({ kind: 'closeWait', runId: id, epoch, stepKey }, () => this.known?.closed(stepKey), ignore);
  }

  cancelChild(stepKey: string, childId: string): void {
    const { id, epoch } = this.run;
    const sent = (): void => {
      this.known?.closed(stepKey);
      this.host.cancelSent(childId, id);
    };
    this.host.submit({ kind: 'cancelChild', runId: id, epoch, stepKey, childId }, sent, ignore);
  }

  setState(key: string, value: string): void {
    const { id, epoch } = this.run;
    this.host.submit({ kind: 'state', runId: id, epoch, key, value }, ignore, ignore);
  }

  dropMessage(messageId: string, event: RunEvent | null): void {
    const { id, epoch } = this.run;
    // One whose event cannot be stored stays, and is refused again.
    this.host.submit({ kind: 'drop', runId: id, epoch, messageId, event }, () => this.inbox.isGone(messageId), ignore);
    if (this.inbox.hasMore) this.readMore();
  }

  startDetached(run: NewRun): Promise<'started' | 'taken'> {
    return this.host.startDetached(run);
  }

  createHook(hook: NewHook): Promise<{ token: string; owner?: string }> {
    return this.host.createHook(this.run, hook);
  }

  warn(message: string): void {
    this.host.warn(this, message);
  }

  attemptFailed(failure: AttemptFailure): void {
    this.host.attemptFailed(this, failure);
  }

  ended(end: PassOutcome, leftovers: 'none' | 'some'): void {
    if (this.suspending) {
      this.suspending.end = () => this.ended(end, leftovers);
      return;
    }
    const outcome = this.inPlace(end);
    this.leaving = true;
    clearTimeout(this.suspendTimer);
    const output = outcome.status === 'completed' ? outcome.output : null;
    const error = outcome.status === 'completed' ? null : outcome.error;
    const continuedAs = outcome.status === 'completed' ? outcome.continuedAs : undefined;
    const more = {
      ...(outcome.status === 'failed' ? { failure: outcome.failure } : {}),
      ...(continuedAs ? { continuedAs } : {}),
    };
    const left = this.inbox.hasMore ? 'some' : leftovers;
    this.change({ status: outcome.status, output, error, leftovers: left, parent: this.run.parent, ...more }, outcome);
  }

  /** A run that goes on in this one's place stays in its queue, unless it is of another workflow, which may have one of its own. */
  private inPlace(outcome: PassOutcome): PassOutcome {
    if (outcome.status !== 'completed' || outcome.continuedAs?.name !== this.run.name) return outcome;
    return { ...outcome, continuedAs: { ...outcome.continuedAs, queue: this.run.queue } };
  }

  faulted(fault: PassFault): void {
    if (fault.kind === 'restart') {
      this.abandon(undefined);
      return this.host.restart(this);
    }
    if (this.leaving) return;
    if (this.host.onMismatch === 'fail') this.failFor(fault.error);
    else this.block(fault.error);
  }

  /** Lets go of the run until another deployment takes it up. */
  private block(error: Error): void {
    this.abandon(undefined);
    this.host.blocked(this.run.id, error);
    this.change({ status: 'waiting', blockedFor: this.host.deploymentId, reason: encodeError(error) }, undefined);
  }

  /** A test learns more from a run that fails than from one that waits for another deployment. */
  private failFor(mismatch: Error): void {
    this.abandon(undefined);
    const { stored: error, plain } = this.host.settings.payloads.encodeFailure(mismatch, this.run.id);
    const outcome = { status: 'failed', error, failure: failureOf(plain, () => undefined) } as const;
    this.change({ ...outcome, output: null, leftovers: 'some', parent: this.run.parent }, outcome);
  }

  idle(wakeAt: number): void {
    this.nextWake = wakeAt;
    if (this.leaving || this.suspendTimer) return;
    this.host.slotWanted(this, 'no');
    this.suspendTimer = setTimeout(() => this.suspend(), this.host.suspendAfterMs);
  }

  busy(): void {
    clearTimeout(this.suspendTimer);
    this.suspendTimer = undefined;
    if (!this.leaving) this.host.slotWanted(this, 'yes');
  }

  /** Lets go of a run that only waits, unless it would be taken up again in a moment. */
  private suspend(): void {
    this.suspendTimer = undefined;
    if (this.leaving || this.isPausing) return;
    const left = this.inbox.isReading ? 0 : this.nextWake - this.host.settings.now();
    if (left < this.host.suspendAfterMs) {
      this.suspendTimer = setTimeout(() => this.suspend(), Math.max(left, 10));
      return;
    }
    this.pass.hold();
    this.leave({ status: 'waiting', wakeAt: Number.isFinite(this.nextWake) ? this.nextWake : null, wakeCount: this.wakeCount });
  }

  /** Lets go of the run, unless something has come for it. */
  private leave(change: RunChange & { readonly wakeCount: number; readonly wakeAt: number | null }): void {
    this.suspending = { end: undefined };
    this.submitLeave(change);
  }

  private submitLeave(change: RunChange & { readonly wakeCount: number; readonly wakeAt: number | null }): void {
    const { id, epoch } = this.run;
    this.host.submit(
      { kind: 'change', runId: id, epoch, change, historyBytes: this.bytes },
      (committed) => {
        if (this.leaving) return;
        if (committed.outcome === 'moved') return this.resumeInMemory();
        this.abandon(undefined);
        if (change.wakeAt !== null) this.host.suspended(this, change.wakeAt);
        if (this.known) this.host.remember(this.known);
        this.host.released(this, undefined);
      },
      (error) =>
        this.refused(error, () => {
          if (!this.leaving) this.changes.refused(error, () => this.submitLeave(change));
        }),
    );
  }

  /** Something came for the run before it was suspended: it goes on. */
  private resumeInMemory(): void {
    const end = this.suspending?.end;
    this.suspending = undefined;
    if (end) return end();
    if (!this.isPausing) this.goOn();
    this.host.moved(this);
  }

  private change(change: RunChange, outcome: PassOutcome | undefined): void {
    const { id, epoch } = this.run;
    this.host.submit(
      { kind: 'change', runId: id, epoch, change, historyBytes: this.bytes },
      () => (change.status === 'pending' ? this.host.handedBack(this) : this.host.released(this, outcome)),
      (error) => this.unstorable(error, change, outcome),
    );
  }

  /** An end whose values cannot be stored becomes a failure that can. A change that a rule of the application refuses is tried again. */
  private unstorable(error: Error, change: RunChange, outcome: PassOutcome | undefined): void {
    if (this.records.isReplacing && 'output' in change) return;
    if (!isRefusal(error)) return this.host.released(this, undefined);
    const again = (): void => this.change(change, outcome);
    if ('blockedFor' in change) return this.changes.blockRefused(error, again);
    if (isForbidden(error) || !('output' in change) || change.error === UNSTORABLE) return this.changes.refused(error, again);
    const failed = { status: 'failed', error: UNSTORABLE, failure: { code: 'SERIALIZATION', step: null } } as const;
    this.change({ ...failed, output: null, leftovers: 'some', parent: this.run.parent }, failed);
  }

  /** The journal will not have something: either the run is no longer ours, or its data cannot be stored. */
  private refused(error: Error, next: (error: Error) => void): void {
    if (isRefusal(error)) next(error);
    else this.fenced(error);
  }

  /** The run is no longer ours. */
  private fenced(error: Error): void {
    if (this.leaving) return;
    this.abandon(error);
    this.host.released(this, undefined);
  }
}

const UNSTORABLE = JSON.stringify({ name: 'SerializationError', message: 'the result of the run cannot be stored', code: 'SERIALIZATION' });

/** What a step takes beside its payload. */
const STEP_BYTES = 150;
