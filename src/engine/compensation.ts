import { CompensationFailedError, RunEndedError } from '../core/errors/index.js';
import { failureOf } from '../core/failure.js';
import { COMPENSATED_KEY, COMPENSATING_KEY, TIMEOUT_KEY } from '../core/step-key-format.js';
import type { StepRecord } from '../core/step.js';
import type { Attempts } from './attempts.js';
import type { Call } from './call.js';
import { executionScope } from './current.js';
import type { DurabilityGate } from './durability-gate.js';
import type { ExternalEvents } from './external-events.js';
import type { CallRequest } from './pass-handle.js';
import type { PassRecords } from './pass-records.js';
import type { PassState } from './pass-state.js';
import type { EngineSettings, PassOutcome, PassRun, WorkflowDefinition } from './ports.js';
import type { Replay } from './replay.js';
import type { ResultQueue } from './result-queue.js';
import { Saga, type Undoable } from './saga.js';
import type { Timers } from './timers.js';
import { mayNeedUndo, Undoing, type OwnCalls } from './undoing.js';

/** Other objects of the same pass (pass-parts.ts) that this class uses. */
interface Parts {
  readonly run: PassRun;
  readonly definition: WorkflowDefinition;
  readonly settings: EngineSettings;
  readonly state: PassState;
  readonly timers: Timers;
  readonly alarms: Timers;
  readonly attempts: Attempts;
  readonly gate: DurabilityGate;
  readonly queue: ResultQueue;
  readonly replay: Replay;
  readonly records: PassRecords;
  readonly events: ExternalEvents;
  readonly activity: { clearQueued(): void };
  readonly calls: OwnCalls;
  readonly cancellation: { endGrace(): void };
  readonly end: { returned(outcome: PassOutcome): void; finish(outcome: PassOutcome): void; compensationFailed(error: Error): void };
}

/** Saga that is undoing its calls. */
interface ActiveSaga {
  /** Error that has failed the saga. */
  readonly error: unknown;
  /** Rejects the promise of `ctx.saga`. */
  readonly reject: (error: unknown) => void;
}

/**
 * Undoes the calls of a run that fails, is cancelled or times out, and the calls of a `ctx.saga`
 * that fails.
 *
 * The compensations of the whole run begin with a record of their own (`$compensating`), which
 * holds the outcome of the run. From then on the workflow's code has no effect, even in a replay in
 * which the code behaves differently. Open calls are ended first, because only their results tell
 * if they must be undone. Each compensation is a recorded call. The record `$compensated` shows
 * that all compensations have succeeded.
 */
export class Compensation {
  /** True once the code of the workflow has no effect any more. */
  isSealed = false;
  /** Scope of the whole run; absent until the code uses a saga or a compensation. */
  private whole: Saga | undefined;
  /** Absent until the code makes a call with a compensation, because most workflows have none. */
  private undoing: Undoing | undefined;
  private undoables: Map<Call, Undoable> | undefined;
  /** Sagas that are undoing their calls. */
  private active: Map<Saga, ActiveSaga> | undefined;
  /** Sagas whose functions have not ended, with the AbortSignal of the race branch around them. */
  private open: Map<Saga, AbortSignal | undefined> | undefined;
  /** Outcome of a run whose code has ended before one of its sagas. */
  private waiting: PassOutcome | undefined;
  /** Outcome with which the run ends after its compensations. */
  private outcome: PassOutcome | undefined;

  constructor(private readonly parts: Parts) {}

  /** Notes a call that has a compensation. */
  add(call: Call, { begin, bringToEnd }: Pick<CallRequest, 'begin' | 'bringToEnd'>, saga: Saga | undefined): void {
    const entry: Undoable = { call, undo: call.undo!, begin, bringToEnd, record: undefined, compensation: undefined, isUndone: false };
    this.undoing ??= new Undoing(this.parts);
    this.undoables ??= new Map();
    this.undoables.set(call, entry);
    (saga ?? this.root).add(entry);
  }

  /** Notes the result of a call that has a compensation. Called before the code gets the result. */
  ended(call: Call, record: StepRecord): void {
    this.undoing!.ended(this.undoables!.get(call)!, record);
  }

  /** True for a call of a compensation, or of a failed saga. */
  isOwn(call: Call): boolean {
    return this.undoing?.isOwn(call) === true;
  }

  /**
   * Takes over the end of the run, if calls must be undone first.
   *
   * @returns false when the run can end at once
   */
  takesOver(outcome: PassOutcome): boolean {
    if (!this.undoing) return false;
    if (outcome.status === 'completed') {
      // After a lost race nobody awaits a saga, but its function or its undoing may not have ended.
      if (!this.hasSagasToEnd) return false;
      this.waiting = outcome;
      return true;
    }
    if (!this.root.remaining().some(mayNeedUndo)) return false;
    const { records, queue } = this.parts;
    if (!queue.has('compensating')) {
      records.mark('compensating', COMPENSATING_KEY, { output: JSON.stringify(outcome.status), error: outcome.error });
    }
    return true;
  }

  /** Begins the compensations of the whole run. */
  begin({ output, error }: StepRecord): void {
    const { settings, calls } = this.parts;
    const stored = error!;
    this.outcome =
      output === '"cancelled"'
        ? { status: 'cancelled', error: stored }
        : {
            status: 'failed',
            error: stored,
            failure: failureOf(settings.payloads.showError(stored), (stepKey) => calls.byKey.get(stepKey)?.name),
          };
    this.seal();
    const entries = this.root.remaining();
    this.undoing ??= new Undoing(this.parts);
    this.undoing.drain(entries, () => void this.undoRun(entries, stored));
  }

  /** Ends the run after its last compensation. */
  finish(): void {
    this.parts.end.finish(this.outcome!);
  }

  /** Executes `fn` as a scope whose calls are undone when it fails. */
  async saga<T>(fn: () => Promise<T> | T): Promise<T> {
    const { state, calls } = this.parts;
    if (state.isClosed || this.isSealed) return new Promise<never>(() => undefined);
    const scope = executionScope.getStore();
    scope?.saga?.throwIfFailed('saga');
    const saga = new Saga(scope?.saga ?? this.root);
    (this.open ??= new Map()).set(saga, scope?.signal);
    try {
      const value = await executionScope.run({ ...scope, pass: calls, step: undefined, saga }, async () => fn());
      if (!saga.hasFailed) saga.complete();
      return value;
    } catch (error) {
      // The failed scope around this one, or the end of the run, undoes the calls.
      if (saga.hasFailed || this.isTakenOver) throw error;
      saga.fail(error);
      this.handOver();
      const entries = saga.remaining();
      if (entries.length > 0) await this.whileActive(saga, error, () => this.undoSaga(saga, entries, error));
      saga.leave();
      throw error;
    } finally {
      this.open.delete(saga);
      // Deferred, so that the code that awaits the saga continues first.
      if (this.waiting) void Promise.resolve().then(() => this.endIfWaiting());
    }
  }

  /**
   * Leaves the calls of all sagas to the end of the run, because the run was stopped. Compensations
   * that have begun continue.
   */
  stopped(reason: unknown): void {
    const stopped = [...(this.active?.values() ?? [])];
    this.active?.clear();
    for (const { reject } of stopped) reject(reason);
    this.undoing?.continueOwn();
    this.endIfWaiting();
  }

  private get root(): Saga {
    return (this.whole ??= new Saga(undefined));
  }

  private get isTakenOver(): boolean {
    const { state } = this.parts;
    return this.isSealed || state.isClosed || state.stopReason !== undefined;
  }

  /** True while a saga undoes its calls, or a saga in a lost branch of a race has not ended. */
  private get hasSagasToEnd(): boolean {
    return (this.active?.size ?? 0) > 0 || [...(this.open?.values() ?? [])].some((signal) => signal?.aborted);
  }

  /** Leaves the calls of sagas inside a saga that has failed to the latter. */
  private handOver(): void {
    for (const [saga, { error, reject }] of this.active ?? []) {
      if (!saga.isInFailedSaga) continue;
      this.active!.delete(saga);
      reject(error);
    }
  }

  private whileActive(saga: Saga, error: unknown, undo: () => Promise<void>): Promise<void> {
    const active = (this.active ??= new Map());
    return new Promise((resolve, reject) => {
      active.set(saga, { error, reject });
      undo().then(() => {
        active.delete(saga);
        resolve();
      }, reject);
    });
  }

  private endIfWaiting(): void {
    const { waiting } = this;
    if (!waiting || (this.hasSagasToEnd && this.parts.state.stopReason === undefined)) return;
    this.waiting = undefined;
    this.parts.end.returned(waiting);
  }

  private async undoSaga(saga: Saga, entries: readonly Undoable[], error: unknown): Promise<void> {
    const undoing = this.undoing!;
    await undoing.noteFailedSaga(error);
    await new Promise<void>((done) => undoing.drain(entries, done));
    const errors = await undoing.undo(entries, () => !this.isTakenOver && !saga.isInFailedSaga);
    if (errors.length === 0) return;
    this.parts.end.compensationFailed(new CompensationFailedError(this.parts.run.id, error, errors));
    await new Promise(() => undefined);
  }

  private async undoRun(entries: readonly Undoable[], stored: string): Promise<void> {
    const { run, settings, replay, records, end } = this.parts;
    const errors = await this.undoing!.undo(entries, () => true);
    if (errors.length > 0) return end.compensationFailed(new CompensationFailedError(run.id, settings.payloads.showError(stored), errors));
    // A replay finds the record in its queue, which delivers it next.
    if (!replay.isRecorded(COMPENSATED_KEY)) records.mark('compensated', COMPENSATED_KEY);
  }

  /** Makes the workflow's code ineffective, and abandons the calls that need no result. */
  private seal(): void {
    const { run, state, timers, alarms, attempts, gate, events, activity, calls, cancellation } = this.parts;
    this.isSealed = true;
    this.active?.clear();
    this.waiting = undefined;
    cancellation.endGrace();
    alarms.clear(TIMEOUT_KEY);
    gate.clear();
    activity.clearQueued();
    const isKept = (call: Call | undefined): boolean => call !== undefined && (call.undo !== undefined || this.isOwn(call));
    for (const call of calls.byKey.values()) {
      if (call.settled || isKept(call)) continue;
      timers.clear(call.stepKey);
      events.forget(call);
      call.abandon();
    }
    const reason = state.stopReason ?? new RunEndedError(run.id);
    attempts.abort(
      () => reason,
      (stepKey) => (isKept(calls.byKey.get(stepKey)) ? 'leave' : 'abort'),
    );
    this.undoing?.continueOwn();
  }
}
