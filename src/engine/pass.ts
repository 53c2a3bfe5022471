import { NestedStepError, NonDeterminismError, PayloadTooLargeError, RunEndedError, StepFailedError } from '../core/errors/index.js';
import { decode, decodeError, encode, encodeError } from '../core/serializer/index.js';
import type { History, OpenWait, StepKind, StepRecord } from '../core/step.js';
import type { NewRun } from '../core/run.js';
import type { RunEvent } from '../core/transition.js';
import { Admission } from './admission.js';
import { Attempts } from './attempts.js';
import { Call } from './call.js';
import { Cancellation } from './cancellation.js';
import { PassContext } from './context.js';
import { scopes } from './current.js';
import { Lane, type LaneOwner } from './lane.js';
import { Mailbox, type Message, type Taker } from './mailbox.js';
import type { Abortable, PassHandle, Settlement } from './pass-handle.js';
import { Patches } from './patches.js';
import type { EngineSettings, PassEffects, PassOutcome, PassPort, WorkflowDefinition } from './ports.js';
import { differs, Replay } from './replay.js';
import { CANCEL_KEY, StepKeys } from './step-keys.js';
import { Timers } from './timers.js';
import { Withdrawals } from './withdrawals.js';

/** The run that a pass executes. */
export interface PassRun {
  readonly id: string;
  /** JSON text. */
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
  private seq: number;
  private state: 'open' | 'ended' | 'closed' = 'open';
  private readonly cancellation: Cancellation;
  private readonly mailbox = new Mailbox();
  /** What wants to enter: timers that are due, messages that came. */
  private offers: (() => void)[] = [];
  private withdrawals: Withdrawals | undefined;
  private patches: Patches | undefined;
  /** run() is over, but what is recorded has not all been delivered. */
  private early: PassOutcome | undefined;
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
    this.hasWaits = history.waits.length > 0;
    this.logicalNow = run.startedAt;
    this.cancellation = new Cancellation(run.id);
    this.context = new PassContext(this);
  }

  get effects(): PassEffects {
    return this.port;
  }

  get isCaughtUp(): boolean {
    return (this.admission.isLive || this.lane.isEmpty) && this.replay.isCaughtUp;
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
    this.lane.request();
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
  }

  /** Goes on after `hold`. */
  resume(): void {
    if (this.isClosed) return;
    this.admission.resume();
    if (this.offers.length > 0) this.lane.request();
    this.updateIdle();
  }

  /** A request to cancel the run has come. `takes` is its message in the inbox. */
  cancel(takes: string | null, reason: string | undefined): void {
    if (this.isClosed || this.cancellation.error || this.lane.has('cancel')) return;
    const now = Math.floor(this.settings.now());
    this.enter(this.cancellation.record(reason, ++this.seq, this.lane.count, now), false, takes);
  }

  /** A message has come. */
  receive(message: Message): void {
    if (this.isClosed || !this.mailbox.put(message)) return;
    if (this.mailbox.hasMatch(message.channel)) this.offerMatch(message.channel);
  }

  call(
    kind: StepKind,
    name: string,
    key: string | undefined,
    argsHash: number | null,
    begin: (call: Call) => void,
    signal?: AbortSignal,
  ): Promise<unknown> {
    const outer = scopes.getStore();
    if (outer?.pass === this && outer.step) throw new NestedStepError(outer.step.stepKey, name);
    if (this.isClosed) return new Promise(() => undefined);
    outer?.signal?.throwIfAborted();
    signal?.throwIfAborted();
    const call = new Call(this.keys.next(name, key), kind, this.lane.count, !this.lane.isInTurn, argsHash);
    this.calls.set(call.stepKey, call);
    if (outer?.signal) this.watch(outer.signal, call);
    if (signal) this.watch(signal, call);
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

  offer(enter: () => void): void {
    if (this.isClosed) return;
    this.offers.push(enter);
    if (this.admission.isOpen) this.lane.request();
    this.updateIdle();
  }

  hasMessage(channel: string): boolean {
    return this.mailbox.hasMessage(channel);
  }

  listen(channel: string, call: Call, take: Taker): void {
    this.mailbox.await(channel, call, take);
    if (this.mailbox.hasMatch(channel)) this.offerMatch(channel);
    this.updateIdle();
  }

  openChild(call: Call, wait: OpenWait, child: NewRun, refused: (error: Error) => void): void {
    call.waitRecorded = true;
    this.hasWaits = true;
    this.port.openChild(wait, child, refused);
  }

  isPatched(id: string): boolean {
    const scope = scopes.getStore();
    if (scope?.step) throw new NestedStepError(scope.step.stepKey, 'patched');
    this.patches ??= new Patches(this);
    return this.patches.isPatched(id);
  }

  /** Notes that the code takes part in a change. */
  enterPatch(stepKey: string): void {
    const now = Math.floor(this.settings.now());
    const record = { stepKey, kind: 'patch', seq: ++this.seq, status: 'completed', output: null, error: null, attempts: 1 } as const;
    this.enter(
      { ...record, calledAfter: this.lane.count, calledAfterIo: !this.lane.isInTurn, argsHash: null, startedAt: now, finishedAt: now },
      false,
      null,
    );
  }

  continueAs(run: NewRun): void {
    this.returned({ status: 'completed', output: 'null', continuedAs: run });
  }

  setState(key: string, value: unknown): void {
    const text = this.encode(value, `state "${key}"`);
    if (this.isCaughtUp && !this.isClosed) this.port.setState(key, text);
  }

  settle(call: Call, { output = null, error = null, attempts, takes = undefined }: Settlement): void {
    if (this.isClosed || call.settled) return;
    this.forget(call);
    const { stepKey, kind, calledAfter, calledAfterIo, argsHash, startedAt } = call;
    const finishedAt = Math.floor(this.settings.now());
    const status = error === null ? 'completed' : 'failed';
    const seq = ++this.seq;
    this.enter(
      { stepKey, kind, seq, status, output, error, attempts, calledAfter, calledAfterIo, argsHash, startedAt, finishedAt },
      call.waitRecorded,
      takes ?? null,
    );
  }

  /** A call is given up before it has a result: it rejects, and nothing of it is recorded. */
  withdraw(call: Call, reason: unknown): void {
    if (this.isClosed || call.settled) return;
    this.forget(call);
    this.attempts.abortStep(call.stepKey, reason);
    call.reject(reason);
    if (call.abandoned) call.abandoned();
    else if (call.waitRecorded || this.replay.openWait(call.stepKey)) this.port.closeWait(call.stepKey);
    this.updateIdle();
  }

  encode(value: unknown, subject: string): string {
    const text = encode(value, subject);
    const limit = this.settings.maxPayloadBytes;
    const bytes = text.length * 3 > limit ? Buffer.byteLength(text) : 0;
    if (bytes > limit) throw new PayloadTooLargeError(subject, bytes, limit);
    return text;
  }

  encodeError(error: unknown): string {
    return encodeError(error);
  }

  decodeError(text: string): Error {
    return decodeError(text);
  }

  /** What a pass comes to that calls nothing: a patch. */
  recorded(stepKey: string): StepRecord | undefined {
    return this.replay.call(stepKey);
  }

  invoke(): void {
    let input: unknown;
    try {
      input = decode(this.run.input);
    } catch (error) {
      return this.unreadable('input', error);
    }
    scopes.run({ pass: this, step: undefined }, () => {
      let result: unknown;
      try {
        result = this.definition.invoke(input, this.context);
      } catch (error) {
        result = Promise.reject(error);
      }
      Promise.resolve(result).then(
        (value) => this.returned(this.completed(value)),
        (error: unknown) => this.returned({ status: 'failed', error: encodeError(error) }),
      );
    });
  }

  deliver(record: StepRecord): void {
    this.logicalNow = record.finishedAt;
    try {
      if (record.kind === 'cancel') return this.deliverCancel(record);
      if (record.kind === 'patch') return;
      const call = this.calls.get(record.stepKey)!;
      if (call.settled) return;
      if (record.status === 'failed') call.reject(decodeError(record.error!));
      else call.resolve(record.output === null ? undefined : decode(record.output));
    } catch (error) {
      this.unreadable(record.stepKey, error);
    }
  }

  admit(): void {
    while (this.lane.isEmpty && this.offers.length > 0 && this.admission.isOpen) this.offers.shift()!();
  }

  delivered(): void {
    if (this.early) return this.returned(this.early);
    this.admission.goLive();
    if (this.offers.length > 0 && this.admission.isOpen) this.lane.request();
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

  private completed(value: unknown): PassOutcome {
    try {
      return { status: 'completed', output: this.encode(value, 'output') };
    } catch (error) {
      return { status: 'failed', error: encodeError(error) };
    }
  }

  private returned(outcome: PassOutcome): void {
    if (this.isClosed) return;
    if (!this.lane.isEmpty && !this.admission.isLive) {
      this.early = outcome;
      return;
    }
    const uncalled = this.replay.uncalled();
    if (uncalled) return this.mismatch(uncalled.stepKey, 'it is recorded, but run() ended without calling it');
    const { error } = this.cancellation;
    this.finish(error ? { status: 'cancelled', error: encodeError(error) } : outcome);
  }

  private finish(outcome: PassOutcome): void {
    if (this.isClosed) return;
    this.state = 'ended';
    this.shut(() => this.cancellation.error ?? new RunEndedError(this.run.id));
    this.port.ended(outcome, this.hasWaits || this.cancellation.error || this.mailbox.hasMessages ? 'some' : 'none');
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
    const failed: StepRecord = { ...record, status: 'failed', output: null, error: encodeError(failure) };
    const restart = (): void => this.port.faulted({ kind: 'restart' });
    this.port.record(failed, closesWait, takes, restart, restart);
  }

  private deliverCancel(record: StepRecord): void {
    const error = this.cancellation.deliver(record, this.settings.cancelGraceMs);
    this.timers.clearAll();
    this.admission.clear();
    this.mailbox.clearWaits();
    this.attempts.abort(() => error);
    for (const call of this.calls.values()) {
      if (call.settled) continue;
      call.reject(error);
      call.abandoned?.();
    }
    this.alarms.set(CANCEL_KEY, this.cancellation.graceEnd, () => this.finish({ status: 'cancelled', error: encodeError(error) }));
  }

  /** A message and a wait for it are both here: they meet when it is their turn. */
  private offerMatch(channel: string): void {
    this.offer(() => {
      const others = this.mailbox.match(channel);
      if (others)
        this.port.warn(`a wait for ${channel} took a message that ${others} later waits are for: was it abandoned in a Promise.race?`);
    });
  }

  private watch(signal: AbortSignal, call: Call): void {
    this.withdrawals ??= new Withdrawals((withdrawn, reason) => this.withdraw(withdrawn, reason));
    this.withdrawals.watch(signal, call);
  }

  private forget(call: Call): void {
    this.timers.clear(call.stepKey);
    if (call.channel !== undefined) this.mailbox.forget(call.channel, call);
  }

  private unreadable(what: string, error: unknown): void {
    this.mismatch(what, `it cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }

  private mismatch(stepKey: string, detail: string): void {
    if (this.isClosed) return;
    const error = new NonDeterminismError(this.run.id, stepKey, detail);
    this.close(error);
    this.port.faulted({ kind: 'mismatch', error });
  }

  private updateIdle(): void {
    if (this.isClosed) return;
    const working = this.lane.isTurning || this.admission.isGating || this.isWorking || this.offers.length > 0;
    if (this.admission.isLive && !working && (this.timers.size > 0 || this.mailbox.size > 0)) {
      this.isIdle = true;
      this.port.idle(Math.min(this.timers.next(), this.cancellation.graceEnd));
    } else if (this.isIdle) {
      this.isIdle = false;
      this.port.busy();
    }
  }
}
