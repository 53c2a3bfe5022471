import { StepFailedError } from '../core/errors/index.js';
import type { StepRecord } from '../core/step.js';
import type { StepResult } from '../core/transition.js';
import type { Call } from './call.js';
import { CommitLane } from './commit-lane.js';
import type { Settlement } from './message.js';
import type { DurabilityGate } from './durability-gate.js';
import type { ExternalEvents } from './external-events.js';
import type { ActivityDelegate, CallResults, ReservedResult } from './pass-handle.js';
import type { PassState } from './pass-state.js';
import type { EngineSettings, PassPort, PassRun } from './ports.js';
import type { ResultQueue } from './result-queue.js';
import type { Timers } from './timers.js';

/** Other objects of the same pass (pass-parts.ts) that this class uses. */
interface Parts {
  readonly run: PassRun;
  readonly port: PassPort;
  readonly settings: EngineSettings;
  readonly state: PassState;
  readonly timers: Timers;
  readonly gate: DurabilityGate;
  readonly queue: ResultQueue;
  readonly events: ExternalEvents;
  readonly activity: ActivityDelegate;
}

/** Values of a record that belongs to no call. Each is null when absent. */
interface Mark {
  readonly output?: string | null;
  readonly error?: string | null;
  /** Id of the inbox message that asked for a cancellation. */
  readonly takes?: string | null;
}

/**
 * Numbers the results of one execution of the workflow function (a pass), and hands them to the
 * workflow's code and to the journal.
 */
export class PassRecords implements CallResults {
  /** Absent until a transactional step commits, because most workflows have none. */
  private lane: CommitLane | undefined;

  constructor(
    private readonly parts: Parts,
    /** Number (`seq`) of the last record. */
    public lastSeq: number,
  ) {}

  settle(call: Call, settlement: Settlement): void {
    const { state, timers, events } = this.parts;
    if (state.isClosed || call.settled || call.hasResult) return;
    call.hasResult = true;
    timers.clear(call.stepKey);
    events.forget(call);
    if (this.lane?.isHeld) this.lane.wait(() => this.enterLater(call, settlement));
    else this.enter(this.resultOf(call, settlement));
  }

  async reserve(call: Call, settlement: Settlement): Promise<ReservedResult> {
    const { state, gate, queue, activity } = this.parts;
    const lane = (this.lane ??= new CommitLane());
    await lane.take();
    await gate.stored(this.lastSeq);
    const result = this.resultOf(call, settlement);
    return {
      result,
      commit: () => {
        this.lastSeq = result.step.seq;
        call.isCommitted = true;
        call.hasResult = true;
        if (!state.isClosed) queue.push(result.step);
        gate.becameDurable(result.step.seq);
        lane.leave();
        activity.update();
      },
      drop: () => lane.leave(),
    };
  }

  /**
   * Records a cancellation, a patch, or the beginning or end of compensations. None of them belongs
   * to a durable call, so the record settles no call.
   */
  mark(kind: 'cancel' | 'patch' | 'compensating' | 'compensated', stepKey: string, mark: Mark = {}): void {
    if (this.lane?.isHeld) return this.markLater(this.lane, kind, stepKey, mark);
    const { output = null, error = null, takes = null } = mark;
    // A second stop may have been requested while a transaction committed, or compensations may
    // have been about to begin.
    const { queue } = this.parts;
    if (kind === 'cancel' && queue.has('cancel')) return;
    if ((kind === 'cancel' || kind === 'compensating') && queue.has('compensating')) return;
    const now = Math.floor(this.parts.settings.now());
    const record: StepRecord = {
      stepKey,
      kind,
      seq: this.lastSeq + 1,
      status: 'completed',
      output,
      error,
      attempts: 1,
      calledAfter: queue.count,
      calledAfterIo: true,
      argsHash: null,
      startedAt: now,
      finishedAt: now,
    };
    this.enter({ step: record, closesWait: false, takes });
  }

  /** Records a mark once the lane is free. */
  private markLater(lane: CommitLane, ...given: Parameters<PassRecords['mark']>): void {
    // The code continues at once after `ctx.patched`. Its next wait must not become durable before
    // the patch. After a crash, a replay would otherwise execute the code without the patch.
    const { gate } = this.parts;
    const isPatch = given[0] === 'patch';
    if (isPatch) gate.awaitNumber();
    lane.wait(() => {
      this.mark(...given);
      if (isPatch) gate.numbered();
    });
  }

  /** Enters a result that waited for the lane. */
  private enterLater(call: Call, settlement: Settlement): void {
    // An operator may have set the result of the step whose transaction was committing.
    if (!call.isCommitted) this.enter(this.resultOf(call, settlement));
  }

  /** Builds the record of a result, with the next number. */
  private resultOf(call: Call, { output, error, attempts, takes, event }: Settlement): StepResult {
    const { stepKey, kind, calledAfter, calledAfterIo, argsHash, startedAt } = call;
    const record: StepRecord = {
      stepKey,
      kind,
      seq: this.lastSeq + 1,
      status: error === undefined || error === null ? 'completed' : 'failed',
      output: output ?? null,
      error: error ?? null,
      attempts,
      calledAfter,
      calledAfterIo,
      argsHash,
      startedAt,
      finishedAt: Math.floor(this.parts.settings.now()),
    };
    const step = call.undo ? { ...record, compensateArgs: call.undo.args } : record;
    const result = { step, closesWait: call.waitRecorded, takes: takes ?? null };
    return event === undefined ? result : { ...result, event };
  }

  private enter(result: StepResult): void {
    const { step } = result;
    const { state, port, gate, queue, activity } = this.parts;
    // The pass may have been given up while a transaction committed.
    if (state.isClosed) return;
    this.lastSeq = step.seq;
    // Queues the result before the journal gets it. So the code gets the result before the flush is
    // sent, and one flush can carry the last result together with the end of the run.
    queue.push(step);
    const durable = (): void => {
      gate.becameDurable(step.seq);
      activity.update();
    };
    port.journal.record(result, durable, (error) => this.refused(result, error));
  }

  /**
   * Replaces a result that the database has refused with a failure of the step. The code may have
   * used the refused result, so this pass is given up and another one starts.
   */
  private refused(result: StepResult, error: Error): void {
    const { run, port, settings, state } = this.parts;
    if (state.isAbandoned) return;
    state.close(error);
    const { step } = result;
    const failure = new StepFailedError(step.stepKey, step.attempts, error);
    const stored = settings.payloads.encodeError(failure, run.id);
    const failed: StepRecord = { ...step, status: 'failed', output: null, error: stored };
    const restart = (): void => port.faulted({ kind: 'restart' });
    port.journal.record({ ...result, step: failed }, restart, restart);
  }
}
