import { NestedStepError } from '../core/errors/index.js';
import type { NewRun } from '../core/run.js';
import type { History, OpenWait, StepKind, StepRecord } from '../core/step.js';
import type { RunEvent } from '../core/transition.js';
import { Call } from './call.js';
import { PassContext } from './context.js';
import { scopes } from './current.js';
import type { Taker } from './mailbox.js';
import type { Abortable, CallOptions, PassHandle, Settlement } from './pass-handle.js';
import { PassLifecycle, type PassRun } from './pass-lifecycle.js';
import { Patches } from './patches.js';
import type { EngineSettings, PassEffects, PassPort, WorkflowDefinition } from './ports.js';
import { markerOf, recordOf } from './records.js';
import { differs } from './replay.js';
import { precedingKey, StepKeys } from './step-keys.js';

/** Steps that a process has warned of: once is enough. */
const warnedOf = new Set<string>();

export type { PassRun } from './pass-lifecycle.js';

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

  constructor(run: PassRun, definition: WorkflowDefinition, history: History, port: PassPort, settings: EngineSettings) {
    super(run, definition, history, port, settings);
    this.context = new PassContext(this);
  }

  protected get handle(): PassHandle {
    return this;
  }

  get effects(): PassEffects {
    return this.port;
  }

  call(
    kind: StepKind,
    name: string,
    key: string | undefined,
    argsHash: number | null,
    begin: (call: Call) => void,
    { signal, resumed }: CallOptions = {},
  ): Promise<unknown> {
    const outer = scopes.getStore();
    if (outer?.pass === this && outer.step) throw new NestedStepError(outer.step.stepKey, name);
    if (this.isClosed) return new Promise(() => undefined);
    outer?.signal?.throwIfAborted();
    signal?.throwIfAborted();
    const call = new Call(this.keys.next(name, key), name, kind, this.lane.count, !this.lane.isInTurn, argsHash);
    this.calls.set(call.stepKey, call);
    if (call.calledAfterIo) this.warnOfRivals(call);
    if (outer?.signal) this.inbound.watch(outer.signal, call);
    if (signal) this.inbound.watch(signal, call);
    const record = this.replay.call(call.stepKey);
    if (!record) {
      const wait = resumed && this.replay.openWait(call.stepKey);
      if (wait) resumed(call, wait);
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
    if (!this.isClosed) this.inbound.offer(enter);
  }

  hasSpareMessage(channel: string): boolean {
    return this.inbound.hasSpare(channel);
  }

  listen(channel: string, call: Call, take: Taker): void {
    this.inbound.listen(channel, call, take);
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
    const place = { seq: ++this.seq, calledAfter: this.lane.count, now: Math.floor(this.settings.now()) };
    this.enter(markerOf('patch', stepKey, null, place), false, null);
  }

  continueAs(run: NewRun): void {
    this.returned({ status: 'completed', output: 'null', continuedAs: run });
  }

  setState(key: string, value: unknown): void {
    const text = this.encode(value, `state "${key}"`);
    if (this.isCaughtUp && !this.isClosed) this.port.setState(key, text);
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
    if (call.abandoned) call.abandoned();
    else if (call.waitRecorded || this.replay.openWait(call.stepKey)) this.port.closeWait(call.stepKey);
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
    if (process.env['NODE_ENV'] === 'production' || warnedOf.has(`${this.definition.name}\n${name}`)) return;
    warnedOf.add(`${this.definition.name}\n${name}`);
    this.port.warn(
      `"${name}" is called several times at once by branches that also do ordinary I/O: they may come in another order in the next pass. Give each call a key`,
    );
  }

  private forget(call: Call): void {
    this.timers.clear(call.stepKey);
    this.inbound.forget(call);
  }
}
