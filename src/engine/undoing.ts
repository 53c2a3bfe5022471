import { RunEndedError, StepFailedError } from '../core/errors/index.js';
import { compensationOf } from '../core/step-key-format.js';
import type { StepRecord } from '../core/step.js';
import { Call } from './call.js';
import type { DurabilityGate } from './durability-gate.js';
import type { PassHandle } from './pass-handle.js';
import type { PassRecords } from './pass-records.js';
import type { EngineSettings, PassRun, WorkflowDefinition } from './ports.js';
import type { Replay } from './replay.js';
import type { ResultQueue } from './result-queue.js';
import type { Undoable } from './saga.js';
import { beginStep } from './step-runner.js';
import type { Timers } from './timers.js';

/** Calls of the pass, for a class that makes calls of its own. */
export interface OwnCalls extends PassHandle {
  readonly byKey: ReadonlyMap<string, Call>;
  /** Returns the recorded result of a call, or begins the work of the call. */
  make(call: Call, work: { readonly begin: (call: Call) => void }): Promise<unknown>;
  /** Returns the step key of the next call with this name. */
  nextKey(name: string): string;
}

/** Other objects of the same pass (pass-parts.ts) that this class uses. */
interface Parts {
  readonly run: PassRun;
  readonly definition: WorkflowDefinition;
  readonly settings: EngineSettings;
  readonly timers: Timers;
  readonly gate: DurabilityGate;
  readonly queue: ResultQueue;
  readonly replay: Replay;
  readonly records: PassRecords;
  readonly calls: OwnCalls;
}

/** Calls that must have a result before their compensations begin. */
interface Drain {
  readonly entries: readonly Undoable[];
  readonly done: () => void;
}

/** Ends open calls, and then undoes calls by recorded calls of their compensations. */
export class Undoing {
  /** Calls of compensations and failed sagas, with the function that begins their work. */
  private readonly own = new Map<Call, (call: Call) => void>();
  private drains: Drain[] = [];

  constructor(private readonly parts: Parts) {}

  /** True for a call of a compensation or of a failed saga. */
  isOwn(call: Call): boolean {
    return this.own.has(call);
  }

  /** Notes the result of a call that has a compensation. */
  ended(entry: Undoable, record: StepRecord): void {
    entry.record = record;
    const drained = this.drains.filter(({ entries }) => entries.every(hasEnded));
    if (drained.length === 0) return;
    this.drains = this.drains.filter((drain) => !drained.includes(drain));
    for (const { done } of drained) done();
  }

  /** Calls `done` once all calls have results. Calls that are still open get their last attempt. */
  drain(entries: readonly Undoable[], done: () => void): void {
    const { gate } = this.parts;
    const open = entries.filter((entry) => !hasEnded(entry));
    if (open.length === 0) return done();
    this.drains.push({ entries: open, done });
    for (const entry of open) {
      entry.call.isLastAttempt = true;
      gate.begin(() => this.bringToEnd(entry));
    }
  }

  /** Records that a saga has failed. Resolves when the record was delivered. */
  async noteFailedSaga(error: unknown): Promise<void> {
    const { settings, records, calls } = this.parts;
    const note = (call: Call): void => {
      call.begin(settings.now(), undefined);
      records.settle(call, { error: calls.encodeError(error), attempts: 1 });
    };
    await this.make(this.newCall(calls.nextKey('saga'), 'saga', 'saga'), note).catch(() => undefined);
  }

  /**
   * Undoes calls in the reverse order of their results. In serial order, the first failure ends the
   * undoing, because a compensation may rely on earlier ones. In parallel, all are tried.
   *
   * @param mayContinue returns false when the end of the run undoes the remaining calls; the
   *   promise then never settles
   * @returns errors of compensations that have failed for good
   */
  async undo(entries: readonly Undoable[], mayContinue: () => boolean): Promise<readonly unknown[]> {
    const { replay } = this.parts;
    // A fork has copied a failed saga, but not the arguments of its compensations.
    const isRecorded = ({ call, isUndone }: Undoable): boolean => !isUndone && replay.isRecorded(compensationOf(call.stepKey));
    const due = entries.filter((entry) => mustBeUndone(entry) || isRecorded(entry)).sort((a, b) => b.record!.seq - a.record!.seq);
    if (!mayContinue()) await new Promise(() => undefined);
    const isParallel = this.parts.definition.compensation === 'parallel';
    const errors = await (isParallel ? this.undoTogether(due) : this.undoInOrder(due, mayContinue));
    // Another driver undoes the remaining calls, and gets the same failure.
    if (!mayContinue()) await new Promise(() => undefined);
    return errors;
  }

  private async undoTogether(due: readonly Undoable[]): Promise<readonly unknown[]> {
    const results = await Promise.allSettled(due.map((entry) => this.compensate(entry)));
    return results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
  }

  private async undoInOrder(due: readonly Undoable[], mayContinue: () => boolean): Promise<readonly unknown[]> {
    // A saga inside may have begun a compensation, which ends before another one begins.
    for (const entry of [...due.filter(({ compensation }) => compensation !== undefined), ...due]) {
      if (!mayContinue()) await new Promise(() => undefined);
      try {
        await this.compensate(entry);
      } catch (error) {
        return [error];
      }
    }
    return [];
  }

  /** Begins the work of open compensations again, after the work that had not begun was dropped. */
  continueOwn(): void {
    const { gate, timers } = this.parts;
    for (const [call, begin] of this.own) {
      if (!isIdle(call) || timers.has(call.stepKey)) continue;
      gate.begin(() => isIdle(call) && begin(call));
    }
  }

  /** Calls the compensation of a step, or returns the call that was made before. */
  private compensate(entry: Undoable): Promise<void> {
    if (entry.compensation) return entry.compensation;
    const { run, settings, calls } = this.parts;
    const { call, undo, record } = entry;
    const { payloads } = settings;
    const { stepKey } = call;
    const { status, output, compensateArgs } = record!;
    const spec = {
      retry: undo.retry,
      timeoutMs: undo.timeoutMs,
      isolation: undo.isolation,
      limit: undo.limit,
      compensates: { stepKey, idempotencyKey: `${run.id}:${stepKey}`, status },
      body: (): unknown => {
        const result = output === null ? undefined : payloads.decode(output, 'output');
        return undo.body(result, payloads.decode(compensateArgs!, 'arguments') as unknown[]);
      },
    };
    const made = this.newCall(compensationOf(stepKey), compensationOf(call.name), 'compensation');
    entry.compensation = this.make(made, (begun) => beginStep(calls, begun, spec)).then(() => {
      entry.isUndone = true;
    });
    // The run may end before the compensation fails. Nothing awaits the promise then.
    entry.compensation.catch(() => undefined);
    return entry.compensation;
  }

  private newCall(stepKey: string, name: string, kind: 'saga' | 'compensation'): Call {
    const { queue } = this.parts;
    return new Call(stepKey, name, kind, queue.count, !queue.isInTurn, null);
  }

  private make(call: Call, begin: (call: Call) => void): Promise<unknown> {
    this.own.set(call, begin);
    return this.parts.calls.make(call, { begin });
  }

  /**
   * Ends an open call. A body that is being executed ends by itself. A body that another process
   * may have executed is executed again, because only its result tells if it took effect. A
   * compensation with `'attempted'` needs no result.
   */
  private bringToEnd({ call, undo, begin, bringToEnd }: Undoable): void {
    const { run, replay, timers, records, calls, settings } = this.parts;
    if (!isIdle(call)) return;
    if (bringToEnd) return bringToEnd(call);
    timers.clear(call.stepKey);
    const mayHaveBegun = call.failures > 0 || run.epoch !== 1 || !replay.isFirstPass;
    if (mayHaveBegun && undo.on === 'completed') return begin(call);
    if (!call.hasBegun) call.begin(settings.now(), calls.recordedWait(call.stepKey));
    const attempts = mayHaveBegun ? Math.max(1, call.failures) : 0;
    const error = new StepFailedError(call.stepKey, attempts, new RunEndedError(run.id));
    records.settle(call, { error: calls.encodeError(error), attempts });
  }
}

/** True when no result of the call exists, and no attempt is executed. */
function isIdle(call: Call): boolean {
  return !call.settled && !call.hasResult && !call.isAttempting;
}

function hasEnded({ record }: Undoable): boolean {
  return record !== undefined;
}

/**
 * Decides if a call is undone. A record without arguments for the compensation is left as it is: a
 * fork has copied the record from the run that made the call, or the code had no compensation then.
 */
function mustBeUndone({ record, undo, isUndone }: Undoable): boolean {
  if (record?.compensateArgs === undefined || isUndone) return false;
  return record.status === 'completed' || (undo.on === 'attempted' && record.attempts > 0);
}

/** True for a call that must be undone, or whose result is not known yet. */
export function mayNeedUndo(entry: Undoable): boolean {
  return !hasEnded(entry) || mustBeUndone(entry);
}
