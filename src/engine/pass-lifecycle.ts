import { setImmediate } from '../core/timers.js';
import { NonDeterminismError, RunEndedError, StepFailedError, WorkflowCancelledError, WorkflowTimeoutError } from '../core/errors/index.js';
import { failureOf } from '../core/failure.js';
import type { History, OpenWait, StepKind, StepRecord } from '../core/step.js';
import { DurabilityGate } from './durability-gate.js';
import { AfterStop } from './after-stop.js';
import { Attempts } from './attempts.js';
import type { Call } from './call.js';
import { inScope } from './current.js';
import { ExternalEvents } from './external-events.js';
import { ResultQueue, type ResultQueueDelegate } from './result-queue.js';
import type { Message } from './message.js';
import { warnOfOpenSteps } from './open-steps.js';
import type { Abortable, PassHandle } from './pass-handle.js';
import type { WorkflowInstanceFactory, EngineSettings, PassOutcome, PassPort, PassRun, WorkflowCode, WorkflowDefinition } from './ports.js';
import { InstanceCreation } from './instance-creation.js';
import { Replay } from './replay.js';
import { TIMEOUT_KEY } from './step-keys.js';
import { Cancellation, type StopReason, type CancellationDelegate } from './cancellation.js';
import { Timers } from './timers.js';
import { warnOnce } from './warn-once.js';
import type { WorkflowContext } from './workflow-context.js';

export type { PassRun } from './ports.js';

/** Results of a run with more bytes than that would fill the heap, only to be compared at its end. */
const MAX_VERIFIED_BYTES = 8 << 20;

/**
 * The life of a pass: how it begins, is held, hears of cancellations and deadlines, and ends; and how results get to its code (lane.ts) and into the journal.
 */
export abstract class PassLifecycle implements ResultQueueDelegate {
  /** Of waits. */
  readonly timers: Timers;
  /** Of the engine itself. */
  protected readonly alarms: Timers;
  logicalNow: number;
  protected readonly lane: ResultQueue;
  protected readonly replay: Replay;
  protected readonly admission: DurabilityGate;
  protected readonly calls = new Map<string, Call>();
  protected readonly attempts = new Attempts();
  protected readonly inbound: ExternalEvents;
  code: WorkflowCode | undefined;
  /** Of workflows that want an instance for each pass. */
  private readonly preparation: InstanceCreation | undefined;
  protected seq: number;
  private state: 'open' | 'ended' | 'closed' = 'open';
  private readonly stopping: Cancellation;
  /** Once the code has been told to stop. */
  protected afterStop: AfterStop | undefined;
  /** run() is over, but what is recorded has not all been delivered. */
  private early: PassOutcome | undefined;
  protected hasWaits: boolean;
  /** Those that were open when the pass began. */
  private readonly waits: readonly OpenWait[];
  /** After how many deliveries the code last called something, in a turn of the replay, that is not recorded. */
  protected divergedAt: number | undefined;
  /** The first of those calls. */
  protected divergedKey: string | undefined;
  /** What the code has got, to be compared with a replay; absent where that is not done. */
  private got: StepRecord[] | undefined;
  private gotBytes = 0;
  /** Whether the code ended at once after what it got; undefined until it has ended. */
  protected endedInTurn: boolean | undefined;
  private isIdle = false;
  /** Wants to know when nothing is under way any more. */
  private rested: (() => void) | undefined;

  protected constructor(
    readonly run: PassRun,
    readonly definition: WorkflowDefinition,
    history: History,
    protected readonly port: PassPort,
    readonly settings: EngineSettings,
  ) {
    this.timers = new Timers(settings.now);
    this.alarms = new Timers(settings.now);
    this.replay = new Replay(history);
    this.seq = history.steps.at(-1)?.seq ?? 0;
    this.lane = new ResultQueue([...history.steps], this.replay, this.alarms, settings.replayStallMs, this);
    this.admission = new DurabilityGate(history.steps.length === 0, this.seq, () => this.lane.lastSeq);
    this.stopping = new Cancellation(this.stoppingHost(), this.alarms, history.waits);
    this.waits = history.waits;
    this.hasWaits = history.waits.length > 0;
    this.logicalNow = run.startedAt;
    if (settings.verifyReplay) this.got = [];
    this.inbound = new ExternalEvents({
      isOpen: () => this.admission.isOpen,
      requested: () => {
        if (this.admission.isOpen) this.lane.request();
        this.updateIdle();
      },
      withdraw: (call, reason) => this.withdraw(call, reason),
      warn: (message) => port.warn(message),
      missing: () => port.missing?.(),
    });
    if ('maker' in definition) this.preparation = this.prepared(definition.maker);
    else this.code = definition;
  }

  protected abstract readonly context: WorkflowContext;
  /** This pass, as its operations see it. */
  protected abstract readonly handle: PassHandle;
  abstract withdraw(call: Call, reason: unknown): void;

  get abortSignal(): AbortSignal {
    return this.attempts.signal;
  }

  get isClosed(): boolean {
    return this.state !== 'open';
  }

  /** Whether `run` itself has returned or thrown, and was not stopped. */
  protected get isReturned(): boolean {
    return this.state === 'ended' && this.stopping.stop === undefined;
  }

  /** Bodies are being executed, or their results are on their way to the database. */
  get isWorking(): boolean {
    return !this.isClosed && (this.attempts.count > 0 || this.admission.durable < this.seq);
  }

  /** The attempts under way. */
  get bodies(): Iterable<Abortable> {
    return this.attempts.all;
  }

  /** Results up to this one are durable. */
  get durableSeq(): number {
    return this.admission.durable;
  }

  /** Whether the code has come to everything that an earlier pass came to. */
  get isCaughtUp(): boolean {
    return (this.admission.isLive || this.lane.isEmpty) && this.replay.isCaughtUp;
  }

  /** Begins with the next turn. */
  start(): void {
    const { deadlineAt } = this.run;
    const expire = (): void => this.stopping.request(new WorkflowTimeoutError(this.run.id), null);
    if (deadlineAt !== null) this.alarms.set(TIMEOUT_KEY, deadlineAt, expire);
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
    const grace = this.isIdle && this.stopping.toWait();
    if (grace) this.port.journal.openWait(grace, null, () => undefined);
  }

  /** Goes on after `hold`. */
  resume(): void {
    if (this.isClosed) return;
    this.admission.resume();
    if (this.inbound.isPending) this.lane.request();
    this.updateIdle();
  }

  /** Calls back once, when no body is under way and every result is durable; a later call takes the place of an earlier one. */
  whenAtRest(rested: () => void): void {
    this.rested = rested;
    this.updateIdle();
  }

  /** A request to cancel the run has come. `takes` is its message in the inbox. */
  cancel(takes: string | null, reason: string | undefined): void {
    this.stopping.request(new WorkflowCancelledError(this.run.id, reason), takes);
  }

  /** Messages that nobody has taken, as far as their number is bounded, and what is waited for in vain. */
  get mail(): Pick<ExternalEvents, 'load' | 'missing'> {
    return this.inbound;
  }

  /** A message that was taken is gone from the inbox: it is not read again. */
  forgetMessage(id: string): void {
    this.inbound.forgetHeard(id);
  }

  /** A message has come. */
  receive(message: Message): void {
    if (!this.isClosed) this.inbound.receive(message);
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

  invoke(): void {
    let input: unknown;
    try {
      input = this.settings.payloads.decode(this.run.input, 'input');
    } catch (error) {
      return this.unreadable('input', error);
    }
    inScope({ pass: this.handle, step: undefined }, () => {
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
    if (this.got) this.keep(record, this.got);
    try {
      if (record.kind === 'cancel') return this.stopping.deliver(record);
      if (record.kind === 'patch') return;
      const call = this.calls.get(record.stepKey)!;
      if (call.settled) return;
      if (record.status === 'failed') call.reject(this.decodeError(record.error!));
      else call.resolve(record.output === null ? undefined : this.settings.payloads.decode(record.output, 'output'));
    } catch (error) {
      this.unreadable(record.stepKey, error);
    }
  }

  admit(): void {
    this.inbound.admit(() => !this.lane.isEmpty);
  }

  delivered(): void {
    if (this.early) return this.returned(this.early);
    this.admission.goLive();
    if (this.inbound.isPending && this.admission.isOpen) this.lane.request();
    this.updateIdle();
  }

  missed(step: StepRecord): void {
    const { stepKey, calledAfter } = step;
    const place = calledAfter === 0 ? 'at the start' : `after ${calledAfter} ${calledAfter === 1 ? 'result' : 'results'}`;
    const instead =
      this.divergedAt === calledAfter
        ? `, and now the code calls "${this.divergedKey}" there`
        : ', and now the code does not call it there';
    this.mismatch(stepKey, `it was called ${place} when it was recorded${instead}`);
  }

  stirred(): void {
    this.updateIdle();
  }

  hasDiverged(delivered: number): boolean {
    return this.divergedAt === delivered;
  }

  protected returned(outcome: PassOutcome): void {
    if (this.isClosed) return;
    this.endedInTurn ??= this.lane.isInTurn;
    if (!this.lane.isEmpty && !this.admission.isLive) {
      this.early = outcome;
      return;
    }
    const uncalled = this.replay.uncalled();
    if (uncalled) return this.mismatch(uncalled.stepKey, 'it is recorded, but run() ended without calling it');
    const { stop } = this.stopping;
    if (stop) return this.finish(this.stoppedBy(stop));
    if (this.settings.isDevelopment) warnOfOpenSteps(this.definition, this.calls.values(), (message) => this.port.warn(message));
    if (!this.isVerifiable) return this.finish(outcome);
    this.endCode();
    this.verify(outcome).then(
      (error) => this.state === 'ended' && this.handOverEnd(error ? this.failed(error) : outcome),
      () => this.state === 'ended' && this.handOverEnd(outcome),
    );
  }

  /** Keeps what the code has got for the replay check. A run with more than fits is not checked. */
  private keep(record: StepRecord, got: StepRecord[]): void {
    this.gotBytes += (record.output?.length ?? 0) + (record.error?.length ?? 0);
    if (this.gotBytes > MAX_VERIFIED_BYTES) this.got = undefined;
    else got.push(record);
  }

  /** Whether a replay must do the same: all that the code did followed from what it got, and nothing from ordinary I/O. */
  private get isVerifiable(): boolean {
    if (!this.got || this.endedInTurn !== true) return false;
    const followed = ({ kind, calledAfterIo }: { kind: StepKind; calledAfterIo: boolean }): boolean =>
      kind === 'patch' || (kind !== 'cancel' && !calledAfterIo);
    return this.got.every(followed) && [...this.calls.values()].every(followed);
  }

  private async verify(outcome: PassOutcome): Promise<Error | undefined> {
    const { run, definition, calls, waits } = this;
    return this.settings.verifyReplay?.({ run, definition, history: { steps: this.got!, waits }, calls, outcome }, this.settings);
  }

  protected enter(record: StepRecord, closesWait: boolean, takes: string | null): void {
    // The lane before the journal, whose flush is to find what the code does with the result: a last result and the end share one.
    this.lane.push(record);
    const durable = (): void => {
      this.admission.becameDurable(record.seq);
      this.updateIdle();
    };
    this.port.journal.record(record, closesWait, takes, durable, (error) => this.refused(record, closesWait, takes, error));
  }

  protected mismatch(stepKey: string, detail: string): void {
    if (this.isClosed) return;
    const error = new NonDeterminismError(this.run.id, stepKey, detail);
    this.close(error);
    this.port.faulted({ kind: 'mismatch', error });
  }

  protected updateIdle(): void {
    if (this.isClosed) return;
    if (this.rested && !this.isWorking) {
      const { rested } = this;
      this.rested = undefined;
      // Not within whatever the code is at.
      setImmediate(rested);
    }
    const arriving = this.inbound.isPending || this.inbound.isScreening;
    const working = this.lane.isTurning || this.admission.isGating || this.isWorking || arriving;
    if (this.admission.isLive && !working && (this.timers.size > 0 || this.inbound.waits > 0)) {
      this.isIdle = true;
      const end = this.stopping.stop ? this.stopping.graceEnd : this.run.deadlineAt;
      this.port.idle(Math.min(this.timers.next(), end ?? Number.POSITIVE_INFINITY));
    } else if (this.isIdle) {
      this.isIdle = false;
      this.port.busy();
    }
  }

  private prepared(maker: WorkflowInstanceFactory): InstanceCreation {
    const { port } = this;
    return new InstanceCreation(this.run, maker, this.settings.payloads, this.alarms, {
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

  private stoppingHost(): CancellationDelegate {
    return {
      runId: this.run.id,
      graceMs: this.settings.cancelGraceMs,
      isClosed: () => this.isClosed,
      isRecorded: () => this.lane.has('cancel'),
      whenMade: (known) => (this.preparation ? this.preparation.whenKnown(known) : known('made')),
      nextPlace: () => ({ seq: ++this.seq, calledAfter: this.lane.count, now: Math.floor(this.settings.now()) }),
      encodeError: (error) => this.encodeError(error),
      decodeError: (text) => this.decodeError(text),
      record: (marker, takes) => {
        this.enter(marker, false, takes);
        // All calls that have been made will reject when it is delivered: none may begin before, where the pass was held.
        this.admission.clear();
      },
      abandonCalls: (error) => this.abandonCalls(error),
      isGettingOn: () => this.admission.isLive && this.settings.isSure() && !this.admission.isStuck(this.seq),
      end: (error) => this.finish(this.stoppedBy(error)),
    };
  }

  private abandonCalls(error: StopReason): void {
    this.afterStop = new AfterStop(this.calls.values(), this.attempts.isSignalUsed);
    this.timers.clearAll();
    this.admission.clear();
    this.inbound.clearWaits();
    this.attempts.abort(() => error);
    for (const call of this.calls.values()) {
      if (call.settled) continue;
      call.reject(error);
      call.onWithdrawn?.();
    }
  }

  /** @returns what a call rejects with that may not begin after the stop */
  protected refuseAfterStop(name: string): Error {
    const stop = this.stopping.stop!;
    const how = stop instanceof WorkflowTimeoutError ? 'timed out' : 'was cancelled';
    warnOnce(`stopped\n${this.definition.name}\n${name}`, () =>
      this.port.warn(
        `"${name}" was called again after the run ${how}, and does not begin: it rejects with ${stop.name}. Let a catch in a loop rethrow while ` +
          'ctx.abortSignal.aborted, and give clean-up steps of its own (docs/operations.md)',
      ),
    );
    return stop;
  }

  private stoppedBy(error: StopReason): PassOutcome {
    if (error instanceof WorkflowTimeoutError) return this.failed(error);
    return { status: 'cancelled', error: this.encodeError(error) };
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

  private finish(outcome: PassOutcome): void {
    if (this.isClosed) return;
    this.endCode();
    this.handOverEnd(outcome);
  }

  /** Nothing more comes of the code. */
  private endCode(): void {
    this.state = 'ended';
    const { stop } = this.stopping;
    this.shut(() => stop ?? new RunEndedError(this.run.id));
  }

  private handOverEnd(outcome: PassOutcome): void {
    const { stop } = this.stopping;
    this.port.ended(outcome, this.hasWaits || stop || this.inbound.hasMessages ? 'some' : 'none');
  }

  private shut(reason: () => unknown): void {
    this.timers.clearAll();
    this.alarms.clearAll();
    this.lane.close();
    this.admission.clear();
    this.attempts.abort(reason);
  }

  /** The database will not have a result that the code may have seen: the step fails instead, and the code starts again without it. */
  private refused(record: StepRecord, closesWait: boolean, takes: string | null, error: Error): void {
    if (this.state === 'closed') return;
    this.close(error);
    const failure = new StepFailedError(record.stepKey, record.attempts, error);
    const failed: StepRecord = { ...record, status: 'failed', output: null, error: this.encodeError(failure) };
    const restart = (): void => this.port.faulted({ kind: 'restart' });
    this.port.journal.record(failed, closesWait, takes, restart, restart);
  }

  private unreadable(what: string, error: unknown): void {
    this.mismatch(what, error instanceof Error ? error.message : String(error));
  }
}
