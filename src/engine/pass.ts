import { NestedStepError, StepFailedError, StepResolvedError } from '../core/errors/index.js';
import type { NewRun } from '../core/run.js';
import type { History, OpenWait, StepKind, StepRecord } from '../core/step.js';
import { plainStepKey } from '../core/step-key-text.js';
import type { RunEvent } from '../core/transition.js';
import { Call } from './call.js';
import { PassContext } from './context.js';
import { executionScope } from './current.js';
import type { MessageHandler } from './mailbox.js';
import type { Message, Settlement } from './message.js';
import type { Abortable, CallOptions, PassHandle } from './pass-handle.js';
import { PassLifecycle, type PassRun } from './pass-lifecycle.js';
import { warnOfLateCall } from './open-steps.js';
import { Patches } from './patches.js';
import type { AttemptFailure, EngineSettings, PassEffects, PassPort, WorkflowDefinition } from './ports.js';
import { markerOf, recordOf } from './records.js';
import { differs } from './replay.js';
import { precedingKey, StepKeys } from './step-keys.js';
import { warnOnce } from './warn-once.js';

export type { PassRun } from './pass-lifecycle.js';

/** Payloads that one pass drops leave no more events than that: whoever knows a hook's URL can send any number. */
const MAX_DROPS_NOTED = 100;

/**
 * One execution of the workflow function, from the top: it calls steps; recorded ones get their recorded results, the others are executed.
 *
 * A result is delivered to the code (lane.ts) as soon as it has entered the journal, so that the last one and the end of the run share a flush; but
 * nothing begins before everything delivered until then is durable (admission.ts). Here is what the operations that the code calls need; the
 * pass's own life is in pass-lifecycle.ts.
 */
export class Pass extends PassLifecycle implements PassHandle {
  readonly context: PassContext;
  private readonly keys = new StepKeys(this.calls);
  private patches: Patches | undefined;
  private dropped = 0;
  /** Steps for which an operator has sent a result. */
  private resolved: Set<string> | undefined;

  constructor(run: PassRun, definition: WorkflowDefinition, history: History, port: PassPort, settings: EngineSettings) {
    super(run, definition, history, port, settings);
    this.context = new PassContext(this);
  }

  protected get handle(): PassHandle {
    return this;
  }

  get effects(): PassEffects {
    return this.port.journal;
  }

  call(
    kind: StepKind,
    name: string,
    key: string | undefined,
    argsHash: number | null,
    begin: (call: Call) => void,
    { signal, resumed, deferred }: CallOptions = {},
  ): Promise<unknown> {
    const outer = executionScope.getStore();
    if (outer?.pass === this && outer.step) throw new NestedStepError(outer.step.stepKey, name);
    if (this.isClosed) return this.calledLate(kind, name);
    outer?.signal?.throwIfAborted();
    signal?.throwIfAborted();
    if (this.afterStop) {
      const judgement = this.afterStop.judge(kind, name);
      if (judgement === 'never') return new Promise(() => undefined);
      if (judgement === 'refuse') throw this.refuseAfterStop(name);
    }
    const call = new Call(this.keys.next(name, key), name, kind, this.lane.count, !this.lane.isInTurn, argsHash);
    const promise = call.promise!;
    this.calls.set(call.stepKey, call);
    if (call.calledAfterIo) this.warnOfRivals(call);
    if (outer?.signal) this.inbound.watch(outer.signal, call);
    if (signal) this.inbound.watch(signal, call);
    const record = this.replay.call(call.stepKey);
    this.made(call, record);
    if (!record) {
      const wait = resumed && this.replay.openWait(call.stepKey);
      if (wait) resumed(call, wait);
      if (!this.admission.isLive && this.lane.isInTurn && this.divergedAt !== this.lane.count) {
        this.divergedAt = this.lane.count;
        this.divergedKey = call.stepKey;
      }
      const given = this.resolved && this.resolutionOf(call.stepKey);
      if (given !== undefined) this.awaitResolution(call, given);
      else {
        if (!this.admission.isOpen) deferred?.();
        this.admission.begin(() => !call.settled && begin(call));
      }
      this.updateIdle();
      return promise;
    }
    const difference = differs(record, call);
    if (difference) this.mismatch(call.stepKey, difference);
    // The lane may have waited for this very call.
    else if (!this.lane.isInTurn) this.lane.request();
    return promise;
  }

  /** Leaves a call open for ever: its code is of a pass that is over. */
  private calledLate(kind: StepKind, name: string): Promise<never> {
    if (this.settings.isDevelopment && this.isReturned) warnOfLateCall(this.definition, { kind, name }, (message) => this.warn(message));
    return new Promise(() => undefined);
  }

  /** A call has been made. For those who watch a pass. */
  protected made(_call: Call, _record: StepRecord | undefined): void {
    // Nobody watches most passes.
  }

  recordedWait(stepKey: string): OpenWait | undefined {
    return this.replay.openWait(stepKey);
  }

  /**
   * An operator has given a step its result. An open one ends with it now, another when it is called; for one that has its result it comes too late, and
   * goes with the run.
   */
  resolve(stepKey: string, message: Message): void {
    if (this.isClosed) return;
    this.resolved ??= new Set();
    this.resolved.add(stepKey);
    this.receive(message);
    const call = this.calls.get(stepKey) ?? [...this.calls.values()].find((each) => this.resolutionOf(each.stepKey) === stepKey);
    if (call && !this.replay.isRecorded(call.stepKey)) this.awaitResolution(call, stepKey);
  }

  /** The key under which an operator has resolved the step: the step's own, or its name and key as the application wrote them. */
  private resolutionOf(stepKey: string): string | undefined {
    if (this.resolved?.has(stepKey)) return stepKey;
    if (!stepKey.includes('%')) return undefined;
    const plain = plainStepKey(stepKey);
    return this.resolved?.has(plain) ? plain : undefined;
  }

  /** @param given the key that the operator has given */
  private awaitResolution(call: Call, given: string): void {
    this.inbound.listen(`resolve:${given}`, call, {
      take: ({ id, outcome, payload }) => {
        if (call.settled || this.isClosed) return;
        const { stepKey, kind } = call;
        const wait = this.replay.openWait(stepKey);
        if (wait) call.waitRecorded = true;
        if (call.startedAt === 0) call.startedAt = wait?.openedAt ?? Math.floor(this.settings.now());
        const attempts = Math.max(call.failures, wait?.attempts ?? 0) + (this.attempts.has(stepKey) ? 1 : 0);
        this.attempts.abortStep(stepKey, new StepResolvedError(stepKey));
        if (outcome === 'value') return this.settle(call, { output: payload, attempts, takes: id });
        const error = this.settings.payloads.showError(payload);
        const thrown = kind === 'step' ? new StepFailedError(stepKey, attempts, error) : error;
        this.settle(call, { error: this.encodeError(thrown), attempts, takes: id });
      },
    });
    this.updateIdle();
  }

  whenDurable(begin: () => void): void {
    this.admission.whenDurable(begin);
  }

  warn(message: string): void {
    this.port.warn(message);
  }

  attemptFailed(failure: AttemptFailure): void {
    this.port.attemptFailed(failure);
  }

  get isReplaying(): boolean {
    return !this.admission.isLive;
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
    this.port.journal.openWait(wait, event, durable);
  }

  offer(enter: () => void): void {
    if (!this.isClosed) this.inbound.offer(enter);
  }

  hasSpareMessage(channel: string): boolean {
    return this.inbound.hasSpare(channel);
  }

  listen(channel: string, call: Call, taker: MessageHandler): void {
    this.inbound.listen(channel, call, taker);
    this.updateIdle();
  }

  dropMessage(stepKey: string, messageId: string, refusal: Error): void {
    if (this.isClosed) return;
    const isNoted = ++this.dropped <= MAX_DROPS_NOTED;
    const event = { kind: 'payload_dropped', stepKey, attempt: null, data: isNoted ? this.encodeError(refusal) : null } as const;
    this.port.journal.dropMessage(messageId, isNoted ? event : null);
    // What is wrong with it is in the history alone: it came from outside, and logs are no place for it.
    this.port.warn(`a payload that does not fit the schema of its hook was dropped by step "${stepKey}"`);
  }

  openChild(call: Call, wait: OpenWait, child: NewRun, refused: (error: Error) => void): void {
    call.waitRecorded = true;
    this.hasWaits = true;
    this.port.journal.openChild(wait, child, refused);
  }

  isPatched(id: string): boolean {
    const scope = executionScope.getStore();
    if (scope?.step) throw new NestedStepError(scope.step.stepKey, 'patched');
    this.patches ??= new Patches(this);
    return this.patches.isPatched(id);
  }

  /** Notes that the code takes part in a change. */
  enterPatch(stepKey: string): void {
    const place = { seq: ++this.seq, calledAfter: this.lane.count, now: Math.floor(this.settings.now()) };
    this.enter(markerOf('patch', stepKey, null, place), false, null);
  }

  continueAs(run: NewRun): void {
    this.returned({ status: 'completed', output: 'null', continuedAs: run });
  }

  setState(key: string, value: unknown): void {
    const text = this.encode(value, `state "${key}"`);
    if (this.isCaughtUp && !this.isClosed) this.port.journal.setState(key, text);
  }

  settle(call: Call, settlement: Settlement): void {
    if (this.isClosed || call.settled) return;
    this.forget(call);
    const record = recordOf(call, settlement, ++this.seq, Math.floor(this.settings.now()));
    this.enter(record, call.waitRecorded, settlement.takes ?? null);
  }

  /** A call is given up before it has a result: it rejects, and nothing of it is recorded. */
  withdraw(call: Call, reason: unknown): void {
    if (this.isClosed || call.settled) return;
    this.forget(call);
    this.attempts.abortStep(call.stepKey, reason);
    call.reject(reason);
    if (call.onWithdrawn) call.onWithdrawn();
    else if (call.waitRecorded || this.replay.openWait(call.stepKey)) this.port.journal.closeWait(call.stepKey);
    this.updateIdle();
  }

  /** What a pass comes to that calls nothing: a patch. */
  recorded(stepKey: string): StepRecord | undefined {
    return this.replay.call(stepKey);
  }

  /** Two calls of one name at a time, made out of ordinary I/O, may change places in the next pass. */
  private warnOfRivals({ stepKey, name }: Call): void {
    const rival = precedingKey(stepKey);
    if (rival === undefined || this.calls.get(rival)?.settled !== false) return;
    if (!this.settings.isDevelopment) return;
    warnOnce(`${this.definition.name}\n${name}`, () => {
      this.warn(
        `"${name}" is called several times at once by branches that also do ordinary I/O: they may come in another order in the next pass. Give each call a key`,
      );
    });
  }

  private forget(call: Call): void {
    this.timers.clear(call.stepKey);
    this.inbound.forget(call);
  }
}
