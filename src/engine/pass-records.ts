import { StepFailedError } from '../core/errors/index.js';
import type { StepRecord } from '../core/step.js';
import type { Call } from './call.js';
import type { Settlement } from './message.js';
import type { DurabilityGate } from './durability-gate.js';
import type { ActivityDelegate } from './pass-handle.js';
import type { PassState } from './pass-state.js';
import type { EngineSettings, PassPort, PassRun } from './ports.js';
import type { ResultQueue } from './result-queue.js';

/** The parts of a pass that this one uses. */
interface Parts {
  readonly run: PassRun;
  readonly port: PassPort;
  readonly settings: EngineSettings;
  readonly state: PassState;
  readonly gate: DurabilityGate;
  readonly queue: ResultQueue;
  readonly activity: ActivityDelegate;
}

/** Hands the records of a pass to its code and to the journal, and numbers them. */
export class PassRecords {
  constructor(
    private readonly parts: Parts,
    /** The `seq` of the last record. */
    public lastSeq: number,
  ) {}

  /** Records the result of a call. */
  settle(call: Call, { output, error, attempts, takes }: Settlement): void {
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
      finishedAt: Math.floor(this.parts.settings.now()),
    };
    this.enter(record, call.waitRecorded, takes ?? null);
  }

  /**
   * Records a cancellation or a patch, which the code did not call and gets no result of.
   *
   * @param takes id of the message in the inbox that asked for the cancellation
   */
  mark(kind: 'cancel' | 'patch', stepKey: string, error: string | null, takes: string | null): void {
    const now = Math.floor(this.parts.settings.now());
    const record: StepRecord = {
      stepKey,
      kind,
      seq: ++this.lastSeq,
      status: 'completed',
      output: null,
      error,
      attempts: 1,
      calledAfter: this.parts.queue.count,
      calledAfterIo: true,
      argsHash: null,
      startedAt: now,
      finishedAt: now,
    };
    this.enter(record, false, takes);
  }

  private enter(record: StepRecord, closesWait: boolean, takes: string | null): void {
    const { port, gate, queue, activity } = this.parts;
    // The queue comes before the journal. So the code gets the result before the flush leaves, and
    // one flush carries the last result together with the end of the run.
    queue.push(record);
    const durable = (): void => {
      gate.becameDurable(record.seq);
      activity.update();
    };
    port.journal.record(record, closesWait, takes, durable, (error) => this.refused(record, closesWait, takes, error));
  }

  /**
   * Replaces a result that the database refuses. The code may have seen the result, so the step
   * fails instead and another pass starts without the result.
   */
  private refused(record: StepRecord, closesWait: boolean, takes: string | null, error: Error): void {
    const { run, port, settings, state } = this.parts;
    if (state.isAbandoned) return;
    state.close(error);
    const failure = new StepFailedError(record.stepKey, record.attempts, error);
    const stored = settings.payloads.encodeError(failure, run.id);
    const failed: StepRecord = { ...record, status: 'failed', output: null, error: stored };
    const restart = (): void => port.faulted({ kind: 'restart' });
    port.journal.record(failed, closesWait, takes, restart, restart);
  }
}
