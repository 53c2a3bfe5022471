import { NestedStepError } from '../core/errors/index.js';
import type { NewRun } from '../core/run.js';
import type { OpenWait, StepKind } from '../core/step.js';
import type { RunEvent } from '../core/transition.js';
import type { WarningCode } from '../core/warning-codes.js';
import { AfterStop, refusalOf } from './after-stop.js';
import { Call } from './call.js';
import type { Compensation } from './compensation.js';
import { executionScope } from './current.js';
import { DroppedPayloads } from './dropped-payloads.js';
import type { MessageHandler } from './mailbox.js';
import { warnOfLateCall, warnOfRivals } from './code-warnings.js';
import type { OperatorResults } from './operator-results.js';
import type { PassActivity } from './pass-activity.js';
import type { Abortable, CallRequest, CallResults, StartsObserver, PassHandle } from './pass-handle.js';
import { Patches } from './patches.js';
import type { PassObserver } from './pass-observer.js';
import type {
  AttemptFailure,
  EngineSettings,
  PassEffects,
  PassOutcome,
  PassPort,
  PassRun,
  WorkflowCode,
  WorkflowDefinition,
} from './ports.js';
import { differs, type Replay } from './replay.js';
import { StepKeys } from './step-keys.js';
import { stopCalls, withdrawCall } from './stop-calls.js';
import type { Timers } from './timers.js';
import type { Attempts } from './attempts.js';
import type { DurabilityGate } from './durability-gate.js';
import type { ExternalEvents } from './external-events.js';
import type { PassRecords } from './pass-records.js';
import type { PassState, StopReason } from './pass-state.js';
import type { ResultQueue } from './result-queue.js';

/** Other objects of the same pass (pass-parts.ts) that this class uses. */
interface Parts {
  readonly port: PassPort;
  readonly observer: PassObserver | undefined;
  readonly run: PassRun;
  readonly definition: WorkflowDefinition;
  readonly settings: EngineSettings;
  readonly timers: Timers;
  readonly state: PassState;
  readonly replay: Replay;
  readonly attempts: Attempts;
  readonly gate: DurabilityGate;
  readonly queue: ResultQueue;
  readonly records: PassRecords;
  readonly events: ExternalEvents;
  readonly activity: PassActivity;
  readonly pendingStarts: StartsObserver;
  readonly workflow: Pick<PassHandle, 'code' | 'logicalNow'>;
  readonly compensation: Compensation;
  readonly end: { returned(outcome: PassOutcome): void };
}

/**
 * Durable calls that the workflow function makes in one execution (a pass). Implements the
 * interface through which steps, waits and other operations settle these calls.
 */
export class CallTable implements PassHandle {
  readonly byKey = new Map<string, Call>();
  readonly run: PassRun;
  readonly definition: WorkflowDefinition;
  readonly settings: EngineSettings;
  readonly timers: Timers;
  readonly span: PassHandle['span'];
  readonly results: CallResults;
  readonly pendingStarts: StartsObserver;
  /** Absent until an operator sets the result of a step. */
  operatorResults: OperatorResults | undefined;
  /** Decides which calls may begin after a stop; absent until a stop has reached the code. */
  private afterStop: AfterStop | undefined;
  private readonly keys = new StepKeys(this.byKey);
  private patches: Patches | undefined;
  private dropped: DroppedPayloads | undefined;

  constructor(
    private readonly parts: Parts,
    /** True when the database may store open waits of the run. */
    public hasWaits: boolean,
  ) {
    this.run = parts.run;
    this.definition = parts.definition;
    this.settings = parts.settings;
    this.timers = parts.timers;
    this.span = parts.port.span;
    this.results = parts.records;
    this.pendingStarts = parts.pendingStarts;
  }

  get code(): WorkflowCode | undefined {
    return this.parts.workflow.code;
  }

  get logicalNow(): number {
    return this.parts.workflow.logicalNow;
  }

  get abortSignal(): AbortSignal {
    return this.parts.attempts.signal;
  }

  get isClosed(): boolean {
    return this.parts.state.isClosed;
  }

  get isReplaying(): boolean {
    return !this.parts.gate.isLive;
  }

  /** True when the code has repeated everything that an earlier pass did. */
  get isCaughtUp(): boolean {
    const { gate, queue, replay } = this.parts;
    return (gate.isLive || queue.isEmpty) && replay.isCaughtUp;
  }

  get effects(): PassEffects {
    return this.parts.port.journal;
  }

  call(request: CallRequest): Promise<unknown> {
    const { kind, name, key, argsHash = null, signal, undo } = request;
    const { state, queue, events, compensation } = this.parts;
    const outer = executionScope.getStore();
    if (outer?.pass === this && outer.step) throw new NestedStepError(outer.step.stepKey, name);
    if (state.isClosed || compensation.isSealed) return this.calledLate(kind, name);
    outer?.signal?.throwIfAborted();
    signal?.throwIfAborted();
    if (this.afterStop) {
      const judgement = this.afterStop.judge(kind, name);
      if (judgement === 'never') return new Promise(() => undefined);
      if (judgement === 'refuse') throw refusalOf(this, name, state.stopReason!);
    }
    outer?.saga?.throwIfFailed(name);
    const call = new Call(this.keys.next(name, key), name, kind, queue.count, !queue.isInTurn, argsHash);
    if (undo) {
      call.undo = undo;
      compensation.add(call, request, outer?.saga);
    }
    if (call.calledAfterIo && this.settings.isDevelopment) warnOfRivals(this, this.byKey, call);
    if (outer?.signal) events.watch(outer.signal, call);
    if (signal) events.watch(signal, call);
    return this.make(call, request);
  }

  /** Returns the recorded result of a call, or begins the work of the call to produce a result. */
  make(call: Call, { begin, resumed, deferred }: Pick<CallRequest, 'begin' | 'resumed' | 'deferred'>): Promise<unknown> {
    const { observer, state, gate, queue, replay, activity } = this.parts;
    const promise = call.promise!;
    this.byKey.set(call.stepKey, call);
    const record = replay.call(call.stepKey);
    observer?.called(call, record);
    if (!record) {
      const wait = resumed && replay.openWait(call.stepKey);
      if (wait) resumed(call, wait);
      if (!gate.isLive && queue.isInTurn) queue.noteUnrecordedCall(call.stepKey);
      if (!this.operatorResults?.settle(call)) {
        if (!gate.isOpen) deferred?.();
        gate.begin(() => call.mayBegin && begin(call));
      }
      activity.update();
      return promise;
    }
    const difference = differs(record, call);
    if (difference) state.reject(call.stepKey, difference);
    // Requests a turn: the queue may wait for this call before it delivers the next result.
    else if (!queue.isInTurn) queue.request();
    return promise;
  }

  /** Returns the step key of the next call with this name. */
  nextKey(name: string): string {
    return this.keys.next(name, undefined);
  }

  saga<T>(fn: () => Promise<T> | T): Promise<T> {
    const outer = executionScope.getStore();
    if (outer?.pass === this && outer.step) throw new NestedStepError(outer.step.stepKey, 'saga');
    return this.parts.compensation.saga(fn);
  }

  /** Returns a promise that never settles, for a call that was made after the pass had ended. */
  private calledLate(kind: StepKind, name: string): Promise<never> {
    const { state, settings } = this.parts;
    // Does not warn in a stopped run, where a late call is part of the cleanup and not a mistake.
    if (settings.isDevelopment && state.hasEnded && !state.stopReason) warnOfLateCall(this, kind, name);
    return new Promise(() => undefined);
  }

  /** Rejects all open calls with the reason for the stop. */
  rejectAll(error: StopReason): void {
    this.afterStop = new AfterStop(this.byKey.values(), this.parts.attempts.isSignalUsed);
    stopCalls(this.parts, this.byKey, error);
  }

  /** Rejects a call that has no result yet, without recording the rejection. */
  withdraw(call: Call, reason: unknown): void {
    if (this.isClosed || call.settled || call.isDetached) return;
    withdrawCall(this.parts, call, reason);
  }

  recordedWait(stepKey: string): OpenWait | undefined {
    return this.parts.replay.openWait(stepKey);
  }

  whenDurable(begin: () => void): void {
    this.parts.gate.whenDurable(begin);
  }

  withSlot(now: () => void, later: () => void): void {
    this.parts.activity.withSlot(now, later);
  }

  warn(code: WarningCode, message: string): void {
    this.parts.port.warn(code, message);
  }

  attemptFailed(failure: AttemptFailure): void {
    this.parts.port.attemptFailed(failure);
  }

  attemptBegan(attempt: Abortable): void {
    this.parts.attempts.add(attempt);
    this.parts.activity.update();
  }

  attemptEnded(attempt: Abortable): void {
    this.parts.attempts.delete(attempt);
    this.parts.activity.update();
  }

  openWait(call: Call, wait: OpenWait, event: RunEvent | null, durable: () => void): void {
    call.noteWait();
    this.hasWaits = true;
    this.parts.port.journal.openWait(wait, event, durable);
  }

  openChild(call: Call, wait: OpenWait, child: NewRun, refused: (error: Error) => void): void {
    call.noteWait();
    this.hasWaits = true;
    this.pendingStarts.began();
    this.parts.port.journal.openChild(wait, child, (refusal) => {
      if (refusal) refused(refusal);
      this.pendingStarts.ended();
    });
  }

  offer(enter: () => void): void {
    if (!this.isClosed) this.parts.events.offer(enter);
  }

  hasSpareMessage(channel: string): boolean {
    return this.parts.events.hasSpare(channel);
  }

  listen(channel: string, call: Call, handler: MessageHandler): void {
    this.parts.events.listen(channel, call, handler);
    this.parts.activity.update();
  }

  dropMessage(stepKey: string, messageId: string, refusal: Error): void {
    if (this.isClosed) return;
    this.dropped ??= new DroppedPayloads(this.parts.port, this);
    this.dropped.drop(stepKey, messageId, refusal);
  }

  isPatched(id: string): boolean {
    const scope = executionScope.getStore();
    if (scope?.step) throw new NestedStepError(scope.step.stepKey, 'patched');
    this.patches ??= new Patches(this.parts.replay, this.parts.records, this);
    return this.patches.isPatched(id);
  }

  continueAs(run: NewRun): void {
    this.parts.end.returned({ status: 'completed', output: 'null', continuedAs: run });
  }

  setState(key: string, value: unknown): void {
    const text = this.encode(value, `state "${key}"`);
    if (this.isCaughtUp && !this.isClosed) this.parts.port.journal.setState(key, text);
  }

  encode(value: unknown, subject: string): string {
    return this.settings.payloads.encode(value, subject, this.run.id, 'output');
  }

  encodeError(error: unknown): string {
    return this.settings.payloads.encodeError(error, this.run.id);
  }

  decodeError(text: string): Error {
    return this.settings.payloads.decodeError(text);
  }
}
