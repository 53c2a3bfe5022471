import { StepFailedError } from '../core/errors/index.js';
import type { StepRecord } from '../core/step.js';
import type { StepResult } from '../core/transition.js';
import type { Call } from './call.js';
import type { Settlement } from './message.js';
import type { DurabilityGate } from './durability-gate.js';
import type { ExternalEvents } from './external-events.js';
import type { ActivityDelegate, CallResults } from './pass-handle.js';
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

/**
 * Numbers the results of one execution of the workflow function (a pass), and hands them to the
 * workflow's code and to the journal.
 */
export class PassRecords implements CallResults {
  constructor(
    private readonly parts: Parts,
    /** Number (`seq`) of the last record. */
    public lastSeq: number,
  ) {}

  settle(call: Call, { output, error, attempts, takes }: Settlement): void {
    const { state, settings, timers, events } = this.parts;
    if (state.isClosed || call.settled || call.hasResult) return;
    call.hasResult = true;
    timers.clear(call.stepKey);
    events.forget(call);
    const { stepKey, kind, calledAfter, calledAfterIo, argsHash, startedAt } = call;
    const record: StepRecord = {
      stepKey,
      kind,
      seq: ++this.lastSeq,
      status: error === undefined || error === null ? 'completed' : 'failed',
      output: output ?? null,
      error: error ?? null,
      attempts,
      calledAfter,
      calledAfterIo,
      argsHash,
      startedAt,
      finishedAt: Math.floor(settings.now()),
    };
    const step = call.undo ? { ...record, compensateArgs: call.undo.args } : record;
    this.enter({ step, closesWait: call.waitRecorded, takes: takes ?? null });
  }

  /**
   * Records a cancellation, a patch, or the beginning or end of compensations. None of them belongs
   * to a durable call, so the record settles no call.
   *
   * @param takes id of the inbox message that asked for the cancellation; null when no message did
   */
  mark(
    kind: 'cancel' | 'patch' | 'compensating' | 'compensated',
    stepKey: string,
    error: string | null,
    takes: string | null,
    output: string | null = null,
  ): void {
    const now = Math.floor(this.parts.settings.now());
    const record: StepRecord = {
      stepKey,
      kind,
      seq: ++this.lastSeq,
      status: 'completed',
      output,
      error,
      attempts: 1,
      calledAfter: this.parts.queue.count,
      calledAfterIo: true,
      argsHash: null,
      startedAt: now,
      finishedAt: now,
    };
    this.enter({ step: record, closesWait: false, takes });
  }

  private enter(result: StepResult): void {
    const { step } = result;
    const { port, gate, queue, activity } = this.parts;
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
