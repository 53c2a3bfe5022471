import { NestedStepError, NonDeterminismError, RunEndedError, StepFailedError, WorkflowCancelledError } from '../core/errors/index.js';
import { failureOf } from '../core/failure.js';
import type { History, OpenWait, StepKind, StepRecord } from '../core/step.js';
import type { RunEvent } from '../core/transition.js';
import { Admission } from './admission.js';
import { Attempts } from './attempts.js';
import { Call } from './call.js';
import { PassContext } from './context.js';
import { inScope, scopes } from './current.js';
import { Grace } from './grace.js';
import { Lane, type LaneOwner } from './lane.js';
import type { Abortable, PassHandle, Settlement } from './pass-handle.js';
import type { CodeMaker, EngineSettings, PassOutcome, PassPort, WorkflowCode, WorkflowDefinition } from './ports.js';
import { Preparation } from './preparation.js';
import { differs, Replay } from './replay.js';
import { CANCEL_KEY, StepKeys } from './step-keys.js';
import { Timers } from './timers.js';

/** The run that a pass executes. */
export interface PassRun {
  readonly id: string;
  /** As it is stored. */
  readonly input: string;
  readonly startedAt: number;
}

/**
 * One execution of the workflow function, from the top: it calls steps; recorded ones get their recorded results, the others are executed.
 *
 * A result is delivered to the code (lane.ts) as soon as it has entered the journal, so that the last one and the end of the run share a flush; but
 * nothing begins before everything delivered until then is durable (admission.ts).
 */
export class Pass implements PassHandle, LaneOwner {
  /** Of waits. */
  readonly timers: Timers;
  /** Of the engine itself. */
  private readonly alarms: Timers;
  logicalNow: number;
  private readonly lane: Lane;
  private readonly replay: Replay;
  private readonly admission: Admission;
  private readonly calls = new Map<string, Call>();
  private readonly keys = new StepKeys(this.calls);
  private readonly attempts = new Attempts();
  readonly context: PassContext;
  code: WorkflowCode | undefined;
  /** Of workflows that want an instance for each pass. */
  private readonly preparation: Preparation | undefined;
  private seq: number;
  private state: 'open' | 'ended' | 'closed' = 'open';
  private cancelled: WorkflowCancelledError | undefined;
  /** After which a cancelled run ends, whatever its code still does; a park may not last longer. */
  private grace: Grace | undefined;
  /** run() is over, but what is recorded has not all been delivered. */
  private early: PassOutcome | undefined;
  private readonly waits: readonly OpenWait[];
  private hasWaits: boolean;
  /** After how many deliveries the code last called something, in a turn of the replay, that is not recorded. */
  private strayAt: number | undefined;
  private isIdle = false;

  constructor(
    readonly run: PassRun,
    readonly definition: WorkflowDefinition,
    history: History,
    private readonly port: PassPort,
    readonly settings: EngineSettings,
  ) {
    this.timers = new Timers(settings.now);
    this.alarms = new Timers(settings.now);
    this.replay = new Replay(history);
    this.seq = history.steps.at(-1)?.seq ?? 0;
    this.lane = new Lane([...history.steps], this.replay, this.alarms, settings.replayStallMs, this);
    this.admission = new Admission(history.steps.length === 0, this.seq, () => this.lane.lastSeq);
    this.waits = history.waits;
    this.hasWaits = history.waits.length > 0;
    this.logicalNow = run.startedAt;
    this.context = new PassContext(this);
    if ('maker' in definition) this.preparation = this.prepared(definition.maker);
    else this.code = definition;
  }

  get abortSignal(): AbortSignal {
    return this.attempts.signal;
  }

  get isClosed(): boolean {
    return this.state !== 'open';
  }

  /** Bodies are being executed, or their results are on their way to the database. */
  get isWorking(): boolean {
    return !this.isClosed && (this.attempts.count > 0 || this.admission.durable < this.seq);
  }

  /** Results up to this one are durable. */
  get durableSeq(): number {
    return this.admission.durable;
  }

  /** Begins with the next turn. */
  start(): void {
    if (this.preparation) this.preparation.begin();
    else this.lane.request();
  }

  /** Lets go: nothing that the code still does has any effect, calls never settle, bodies are told to stop. */
  close(reason: unknown): void {
    const wasOpen = this.state === 'open';
    this.state = 'closed';
    if (wasOpen) this.shut(() => reason);
  }

  /** Begins nothing new: bodies under way go on, further calls wait. */
  hold(): void {
    this.admission.hold();
    if (this.isIdle && this.grace) this.port.openWait(this.grace.toWait(), null, () => undefined);
  }

  /** Goes on after `hold`. */
  resume(): void {
    if (this.isClosed) return;
    this.admission.resume();
    this.updateIdle();
  }

  /** A request to cancel the run has come. `takes` is its message in the inbox. */
  cancel(takes: string | null, reason: string | undefined): void {
    if (this.isClosed || this.cancelled || this.lane.has('cancel')) return;
    if (this.preparation && !this.preparation.isDone) {
      return this.preparation.whenKnown((outcome) => (outcome === 'made' ? this.cancel(takes, reason) : this.cancelUnprepared(reason)));
    }
    const now = Math.floor(this.settings.now());
    const record: StepRecord = {
      stepKey: CANCEL_KEY,
      kind: 'cancel',
      seq: ++this.seq,
      status: 'completed',
      output: null,
      error: this.encodeError(new WorkflowCancelledError(this.run.id, reason)),
      attempts: 1,
      calledAfter: this.lane.count,
      calledAfterIo: true,
      argsHash: null,
      startedAt: now,
      finishedAt: now,
    };
    this.enter(record, false, takes);
  }

  call(kind: StepKind, name: string, key: string | undefined, argsHash: number | null, begin: (call: Call) => void): Promise<unknown> {
    const outer = scopes.getStore();
    if (outer?.pass === this && outer.step) throw new NestedStepError(outer.step.stepKey, name);
    if (this.isClosed) return new Promise(() => undefined);
    const call = new Call(this.keys.next(name, key), name, kind, this.lane.count, !this.lane.isInTurn, argsHash);
    this.calls.set(call.stepKey, call);
    const record = this.replay.call(call.stepKey);
    if (!record) {
      if (!this.admission.isLive && this.lane.isInTurn) this.strayAt = this.lane.count;
      this.admission.begin(() => !call.settled && begin(call));
      this.updateIdle();
      return call.promise;
    }
    const difference = differs(record, call);
    if (difference) this.mismatch(call.stepKey, difference);
    // The lane may have waited for this very call.
    else if (!this.lane.isInTurn) this.lane.request();
    return call.promise;
  }

  recordedWait(stepKey: string): OpenWait | undefined {
    return this.replay.openWait(stepKey);
  }

  whenDurable(begin: () => void): void {
    this.admission.whenDurable(begin);
  }

  attemptBegan(attempt: Abortable): void {
    this.attempts.add(attempt);
    this.updateIdle();
  }

  attemptEnded(attempt: Abortable): void {
    this.attempts.delete(attempt);
    this.updateIdle();
  }

  openWait(call: Call, wait: OpenWait, event: RunEvent | null, durable: () => void): void {
    call.waitRecorded = true;
    this.hasWaits = true;
    this.port.openWait(wait, event, durable);
  }

  settle(call: Call, { output = null, error = null, attempts }: Settlement): void {
    if (this.isClosed || call.settled) return;
    this.timers.clear(call.stepKey);
    const { stepKey, kind, calledAfter, calledAfterIo, argsHash, startedAt } = call;
    const finishedAt = Math.floor(this.settings.now());
    const status = error === null ? 'completed' : 'failed';
    const seq = ++this.seq;
    this.enter(
      { stepKey, kind, seq, status, output, error, attempts, calledAfter, calledAfterIo, argsHash, startedAt, finishedAt },
      call.waitRecorded,
      null,
    );
  }

  encode(value: unknown, subject: string): string {
    return this.settings.payloads.encode(value, subject, this.run.id, 'output');
  }

  encodeError(error: unknown): string {
    return this.settings.payloads.encodeError(error, this.run.id);
  }

  invoke(): void {
    let input: unknown;
    try {
      input = this.settings.payloads.decode(this.run.input, 'input');
    } catch (error) {
      return this.unreadable('input', error);
    }
    inScope({ pass: this, step: undefined }, () => {
      let result: unknown;
      try {
        result = this.code!.invoke(input, this.context);
      } catch (error) {
        result = Promise.reject(error);
      }
      Promise.resolve(result).then(
        (value) => this.returned(this.completed(value)),
        (error: unknown) => this.returned(this.failed(error)),
      );
    });
  }

  deliver(record: StepRecord): void {
    this.logicalNow = record.finishedAt;
    try {
      if (record.kind === 'cancel') return this.deliverCancel(record);
      const call = this.calls.get(record.stepKey)!;
      if (call.settled) return;
      if (record.status === 'failed') call.reject(this.settings.payloads.decodeError(record.error!));
      else call.resolve(record.output === null ? undefined : this.settings.payloads.decode(record.output, 'output'));
    } catch (error) {
      this.unreadable(record.stepKey, error);
    }
  }

  delivered(): void {
    if (this.early) return this.returned(this.early);
    this.admission.goLive();
    this.updateIdle();
  }

  missed(step: StepRecord): void {
    this.mismatch(step.stepKey, `it is recorded as called after ${step.calledAfter} results, and has not been called`);
  }

  stirred(): void {
    this.updateIdle();
  }

  wentAstray(delivered: number): boolean {
    return this.strayAt === delivered;
  }

  private prepared(maker: CodeMaker): Preparation {
    const { port } = this;
    return new Preparation(this.run, maker, this.settings.payloads, this.alarms, {
      isClosed: () => this.isClosed,
      made: (code) => {
        this.code = code;
        this.lane.request();
      },
      idle: (wakeAt) => port.idle(wakeAt),
      busy: () => port.busy(),
      unreadable: (error) => this.unreadable('input', error),
    });
  }

  /** There is no code whose `catch` and `finally` could hear of it. */
  private cancelUnprepared(reason: string | undefined): void {
    if (this.isClosed) return;
    this.cancelled = new WorkflowCancelledError(this.run.id, reason);
    this.finish({ status: 'cancelled', error: this.encodeError(this.cancelled) });
  }

  private completed(value: unknown): PassOutcome {
    try {
      return { status: 'completed', output: this.encode(value, 'output') };
    } catch (error) {
      return this.failed(error);
    }
  }

  private failed(thrown: unknown): PassOutcome {
    const { stored, plain } = this.settings.payloads.encodeFailure(thrown, this.run.id);
    return { status: 'failed', error: stored, failure: failureOf(plain, (stepKey) => this.calls.get(stepKey)?.name) };
  }

  private returned(outcome: PassOutcome): void {
    if (this.isClosed) return;
    if (!this.lane.isEmpty && !this.admission.isLive) {
      this.early = outcome;
      return;
    }
    const uncalled = this.replay.uncalled();
    if (uncalled) return this.mismatch(uncalled.stepKey, 'it is recorded, but run() ended without calling it');
    this.finish(this.cancelled ? { status: 'cancelled', error: this.encodeError(this.cancelled) } : outcome);
  }

  private finish(outcome: PassOutcome): void {
    if (this.isClosed) return;
    this.state = 'ended';
    this.shut(() => this.cancelled ?? new RunEndedError(this.run.id));
    this.port.ended(outcome, this.hasWaits || this.cancelled ? 'some' : 'none');
  }

  private shut(reason: () => unknown): void {
    this.timers.clearAll();
    this.alarms.clearAll();
    this.lane.close();
    this.admission.clear();
    this.attempts.abort(reason);
  }

  private enter(record: StepRecord, closesWait: boolean, takes: string | null): void {
    // The lane before the journal, whose flush is to find what the code does with the result: a last result and the end share one.
    this.lane.push(record);
    const durable = (): void => {
      this.admission.becameDurable(record.seq);
      this.updateIdle();
    };
    this.port.record(record, closesWait, takes, durable, (error) => this.refused(record, closesWait, takes, error));
  }

  /** The database will not have a result that the code may have seen: the step fails instead, and the code starts again without it. */
  private refused(record: StepRecord, closesWait: boolean, takes: string | null, error: Error): void {
    if (this.state === 'closed') return;
    this.close(error);
    const failure = new StepFailedError(record.stepKey, record.attempts, error);
    const failed: StepRecord = { ...record, status: 'failed', output: null, error: this.encodeError(failure) };
    const restart = (): void => this.port.faulted({ kind: 'restart' });
    this.port.record(failed, closesWait, takes, restart, restart);
  }

  private deliverCancel(record: StepRecord): void {
    const error = this.settings.payloads.decodeError(record.error!);
    this.cancelled = error instanceof WorkflowCancelledError ? error : new WorkflowCancelledError(this.run.id);
    this.timers.clearAll();
    this.admission.clear();
    this.attempts.abort(() => this.cancelled);
    for (const call of this.calls.values()) if (!call.settled) call.reject(this.cancelled);
    this.grace = new Grace(record, this.waits, this.settings.cancelGraceMs, this.alarms, {
      isGettingOn: () => this.admission.isLive && this.settings.isSure() && !this.admission.isStuck(this.seq),
      over: () => this.finish({ status: 'cancelled', error: this.encodeError(this.cancelled) }),
    });
  }

  private unreadable(what: string, error: unknown): void {
    this.mismatch(what, error instanceof Error ? error.message : String(error));
  }

  private mismatch(stepKey: string, detail: string): void {
    if (this.isClosed) return;
    const error = new NonDeterminismError(this.run.id, stepKey, detail);
    this.close(error);
    this.port.faulted({ kind: 'mismatch', error });
  }

  private updateIdle(): void {
    if (this.isClosed) return;
    const working = this.lane.isTurning || this.admission.isGating || this.isWorking;
    if (this.admission.isLive && !working && this.timers.size > 0) {
      this.isIdle = true;
      this.port.idle(Math.min(this.timers.next(), this.grace?.end ?? Number.POSITIVE_INFINITY));
    } else if (this.isIdle) {
      this.isIdle = false;
      this.port.busy();
    }
  }
}
