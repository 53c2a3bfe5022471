import { NestedStepError, NonDeterminismError, PayloadTooLargeError, RunEndedError, WorkflowCancelledError } from '../core/errors/index.js';
import { decode, decodeError, encode, encodeError } from '../core/serializer/index.js';
import type { History, OpenWait, StepKind, StepRecord } from '../core/step.js';
import type { RunEvent } from '../core/transition.js';
import type { Attempt } from './attempt.js';
import { Call } from './call.js';
import { PassContext, type WorkflowContext } from './context.js';
import { scopes } from './current.js';
import type { EngineSettings, PassOutcome, PassPort, WorkflowDefinition } from './ports.js';
import { Replay } from './replay.js';
import { CANCEL_KEY, StepKeys } from './step-keys.js';
import { Timers } from './timers.js';
import { turns, type TurnTaker } from './turns.js';

/** The run that a pass executes. */
export interface PassRun {
  readonly id: string;
  /** JSON text. */
  readonly input: string;
  readonly startedAt: number;
}

/** What is known of a result when it enters the journal. */
export interface Settlement {
  readonly output?: string | null;
  readonly error?: string | null;
  readonly attempts: number;
}

/**
 * One execution of the workflow function, from the top: it calls steps; recorded ones get their recorded results, the others are executed.
 *
 * Results enter the code one at a time, in the order of `seq`, live and on replay (turns.ts). A result is delivered as soon as it has
 * entered the journal, so that the last one and the end of the run share a flush; but no body starts before everything
 * delivered until then is durable (`whenDurable`).
 */
export class Pass implements TurnTaker {
  readonly timers: Timers;
  readonly context: WorkflowContext;
  /** The recorded time of the last delivery: the clock that the workflow sees. */
  logicalNow: number;
  /** Bodies that are being executed. */
  private readonly attempts = new Set<Attempt>();
  private readonly keys = new StepKeys();
  private readonly replay: Replay;
  private readonly calls = new Map<string, Call>();
  /** Made when somebody looks at the signal: most workflows never do. */
  private controller: AbortController | undefined;
  private abortReason: unknown;
  /** Results in the order in which they are delivered. */
  private readonly lane: StepRecord[];
  private delivered = 0;
  private deliveredSeq = 0;
  private seq = 0;
  private durableSeq = 0;
  /** Bodies that wait for what was delivered before them to be durable. */
  private gated: { readonly seq: number; readonly begin: () => void }[] = [];
  /** What may not begin yet: calls without a record during replay, and everything while the pass is held. */
  private deferred: (() => void)[] = [];
  /** Everything recorded has been delivered: from here on, bodies are executed. */
  private live: boolean;
  private started = false;
  private inTurn = false;
  private turnRequested = false;
  private closed = false;
  /** New calls wait: the run is being let go of, and may yet go on. */
  private held = false;
  private cancelled: WorkflowCancelledError | undefined;
  private isIdle = false;

  constructor(
    readonly run: PassRun,
    readonly definition: WorkflowDefinition,
    history: History,
    readonly port: PassPort,
    readonly settings: EngineSettings,
  ) {
    this.timers = new Timers(settings.now);
    this.replay = new Replay(history);
    this.lane = [...history.steps];
    this.live = history.steps.length === 0;
    this.seq = this.durableSeq = history.steps.at(-1)?.seq ?? 0;
    this.logicalNow = run.startedAt;
    this.context = new PassContext(this);
  }

  get abortSignal(): AbortSignal {
    this.controller ??= new AbortController();
    if (this.abortReason !== undefined) this.controller.abort(this.abortReason);
    return this.controller.signal;
  }

  get isClosed(): boolean {
    return this.closed;
  }

  /** Begins with the next turn. */
  start(): void {
    this.requestTurn();
  }

  /** Lets go: nothing that the code still does has any effect, calls never settle, bodies are told to stop. */
  close(reason: unknown): void {
    if (this.closed) return;
    this.closed = true;
    this.timers.clearAll();
    this.lane.length = 0;
    this.gated = [];
    this.deferred = [];
    this.abort(reason);
  }

  /** Begins nothing new: bodies under way go on, further calls wait. */
  hold(): void {
    this.held = true;
  }

  /** Goes on after `hold`. */
  resume(): void {
    this.held = false;
    if (this.closed) return;
    if (this.live) this.beginDeferred();
    this.updateIdle();
  }

  /** Bodies are being executed, or their results are on their way to the database. */
  get isWorking(): boolean {
    return !this.closed && (this.attempts.size > 0 || this.durableSeq < this.seq);
  }

  /** A request to cancel the run has come. `takes` is its message in the inbox. */
  cancel(takes: string | null, reason: string | undefined): void {
    if (this.closed || this.cancelled || this.lane.some((record) => record.kind === 'cancel')) return;
    const now = this.settings.now();
    const error = encodeError(new WorkflowCancelledError(this.run.id, reason));
    this.enter(
      {
        stepKey: CANCEL_KEY,
        kind: 'cancel',
        seq: ++this.seq,
        status: 'completed',
        output: null,
        error,
        attempts: 1,
        calledAfter: this.delivered,
        calledAfterIo: true,
        argsHash: null,
        startedAt: now,
        finishedAt: now,
      },
      false,
      takes,
    );
  }

  /**
   * A durable operation of the workflow function: its recorded result, or `begin` to produce one.
   *
   * @throws NestedStepError inside the body of a step
   */
  call(kind: StepKind, name: string, key: string | undefined, argsHash: number | null, begin: (call: Call) => void): Promise<unknown> {
    const outer = scopes.getStore();
    if (outer?.pass === this && outer.step) throw new NestedStepError(outer.step.stepKey, name);
    if (this.closed) return new Promise(() => undefined);
    const stepKey = this.keys.next(name, key);
    const call = new Call(stepKey, kind, this.delivered, !this.inTurn, argsHash);
    this.calls.set(stepKey, call);
    const record = this.replay.call(stepKey);
    if (record) {
      const detail = differs(record, call);
      if (detail) this.mismatch(stepKey, detail);
      else if (!this.inTurn) this.requestTurn();
    } else if (this.live && !this.held) {
      begin(call);
      this.updateIdle();
    } else {
      this.deferred.push(() => begin(call));
    }
    return call.promise;
  }

  /** The wait of that step that was open when the run was last let go of. */
  recordedWait(stepKey: string): OpenWait | undefined {
    return this.replay.openWait(stepKey);
  }

  /** Begins once everything that the code had seen when it made the call is durable. */
  whenDurable(begin: () => void): void {
    if (this.held) this.deferred.push(begin);
    else if (this.durableSeq >= this.deliveredSeq) begin();
    else this.gated.push({ seq: this.deliveredSeq, begin });
  }

  attemptBegan(attempt: Attempt): void {
    this.attempts.add(attempt);
    this.updateIdle();
  }

  attemptEnded(attempt: Attempt): void {
    this.attempts.delete(attempt);
    if (!this.closed) this.updateIdle();
  }

  /** Makes an open wait durable. */
  openWait(call: Call, wait: OpenWait, event: RunEvent | null): void {
    call.waitRecorded = true;
    this.port.openWait(wait, event);
  }

  /** A call has its result: it enters the journal, and the lane. */
  settle(call: Call, settlement: Settlement): void {
    if (this.closed || call.settled) return;
    this.timers.clear(call.stepKey);
    const { output = null, error = null, attempts } = settlement;
    this.enter(
      {
        stepKey: call.stepKey,
        kind: call.kind,
        seq: ++this.seq,
        status: error === null ? 'completed' : 'failed',
        output,
        error,
        attempts,
        calledAfter: call.calledAfter,
        calledAfterIo: call.calledAfterIo,
        argsHash: call.argsHash,
        startedAt: call.startedAt,
        finishedAt: Math.floor(this.settings.now()),
      },
      call.waitRecorded,
      null,
    );
  }

  /** JSON text of a result. @throws SerializationError, PayloadTooLargeError */
  encode(value: unknown, subject: string): string {
    const text = encode(value, subject);
    const limit = this.settings.maxPayloadBytes;
    if (text.length * 3 > limit) {
      const bytes = Buffer.byteLength(text);
      if (bytes > limit) throw new PayloadTooLargeError(subject, bytes, limit);
    }
    return text;
  }

  beginTurn(): void {
    this.turnRequested = false;
    if (this.closed) return;
    this.inTurn = true;
    if (!this.started) {
      this.started = true;
      scopes.run({ pass: this, step: undefined }, () => this.invoke());
    } else {
      if (this.replay.missing(this.delivered)) return;
      const record = this.lane.shift();
      if (record) this.deliver(record);
    }
  }

  endTurn(): void {
    if (this.closed) return;
    this.inTurn = false;
    const missing = this.replay.missing(this.delivered);
    if (missing) return this.awaitMissing(missing);
    this.timers.clear(STALL);
    if (this.lane.length > 0) return this.requestTurn();
    if (!this.live) {
      this.live = true;
      if (!this.held) this.beginDeferred();
    }
    this.updateIdle();
  }

  private beginDeferred(): void {
    const deferred = this.deferred;
    this.deferred = [];
    for (const begin of deferred) begin();
  }

  private invoke(): void {
    const run = async (): Promise<unknown> => this.definition.invoke(decode(this.run.input), this.context);
    run().then(
      (value) => this.completed(value),
      (error: unknown) => this.returned(() => ({ status: 'failed', error: encodeError(error) })),
    );
  }

  private completed(value: unknown): void {
    this.returned(() => {
      try {
        return { status: 'completed', output: this.encode(value, 'output') };
      } catch (error) {
        return { status: 'failed', error: encodeError(error) };
      }
    });
  }

  private returned(outcome: () => PassOutcome): void {
    if (this.closed) return;
    const uncalled = this.replay.uncalled();
    if (uncalled) return this.mismatch(uncalled.stepKey, 'it is recorded, but run() ended without calling it');
    this.finish(this.cancelled ? { status: 'cancelled', error: encodeError(this.cancelled) } : outcome());
  }

  private finish(outcome: PassOutcome): void {
    if (this.closed) return;
    this.close(this.cancelled ?? new RunEndedError(this.run.id));
    this.port.ended(outcome);
  }

  private abort(reason: unknown): void {
    this.abortReason = reason;
    this.controller?.abort(reason);
    for (const attempt of this.attempts) attempt.abort(reason);
    this.attempts.clear();
  }

  private enter(record: StepRecord, closesWait: boolean, takes: string | null): void {
    this.lane.push(record);
    // Before the journal, whose flush is to find what the code does with the result: a last result and the end share one.
    this.requestTurn();
    this.port.record(
      record,
      closesWait,
      takes,
      () => this.becameDurable(record.seq),
      (error) => this.refused(record, error),
    );
  }

  private becameDurable(seq: number): void {
    this.durableSeq = Math.max(this.durableSeq, seq);
    if (this.closed) return;
    while (this.gated.length > 0 && this.gated[0]!.seq <= this.durableSeq) this.whenDurable(this.gated.shift()!.begin);
    this.updateIdle();
  }

  /** The database will not have a result that the code may have seen: the step fails instead, and the code starts again without it. */
  private refused(record: StepRecord, error: Error): void {
    if (this.closed) return;
    this.close(error);
    const failed: StepRecord = { ...record, status: 'failed', output: null, error: encodeError(error) };
    const restart = (): void => this.port.faulted({ kind: 'restart' });
    this.port.record(failed, false, null, restart, restart);
  }

  private deliver(record: StepRecord): void {
    this.delivered++;
    this.deliveredSeq = record.seq;
    this.logicalNow = record.finishedAt;
    if (record.kind === 'cancel') return this.deliverCancel(record);
    const call = this.calls.get(record.stepKey)!;
    if (call.settled) return;
    if (record.status === 'failed') call.reject(decodeError(record.error!));
    else call.resolve(record.output === null ? undefined : decode(record.output));
  }

  private deliverCancel(record: StepRecord): void {
    const error = decodeError(record.error!);
    this.cancelled = error instanceof WorkflowCancelledError ? error : new WorkflowCancelledError(this.run.id);
    const open = [...this.calls.values()].filter((call) => !call.settled);
    this.timers.clearAll();
    this.gated = [];
    this.abort(this.cancelled);
    for (const call of open) call.reject(this.cancelled);
    this.timers.set(CANCEL_KEY, record.finishedAt + this.settings.cancelGraceMs, () => {
      this.finish({ status: 'cancelled', error: encodeError(this.cancelled) });
    });
  }

  private awaitMissing(missing: StepRecord): void {
    const detail = `it is recorded as called after ${missing.calledAfter} results, and has not been called`;
    if (!missing.calledAfterIo) return this.mismatch(missing.stepKey, detail);
    this.timers.set(STALL, this.settings.now() + this.settings.replayStallMs, () => this.mismatch(missing.stepKey, detail));
  }

  private mismatch(stepKey: string, detail: string): void {
    if (this.closed) return;
    const error = new NonDeterminismError(this.run.id, stepKey, detail);
    this.close(error);
    this.port.faulted({ kind: 'mismatch', error });
  }

  private requestTurn(): void {
    if (this.turnRequested || this.closed) return;
    this.turnRequested = true;
    turns.request(this);
    this.updateIdle();
  }

  private updateIdle(): void {
    const turning = this.turnRequested || this.inTurn;
    const working = this.attempts.size > 0 || this.gated.length > 0 || this.durableSeq < this.seq;
    if (this.live && !turning && !working && this.timers.size > 0) {
      this.isIdle = true;
      this.port.idle(this.timers.next());
    } else if (this.isIdle) {
      this.isIdle = false;
      this.port.busy();
    }
  }
}

const STALL = '$stall';

function differs(record: StepRecord, call: Call): string | undefined {
  if (record.kind !== call.kind) return `it is recorded as a ${record.kind}, and is a ${call.kind} now`;
  if (record.argsHash !== null && call.argsHash !== null && record.argsHash !== call.argsHash) return 'it was recorded with other arguments';
  return undefined;
}
