import { WorkflowCancelledError, WorkflowTimeoutError } from '../core/errors/index.js';
import type { OpenWait, StepRecord } from '../core/step.js';
import { CleanupGrace, type CleanupGraceDelegate } from './cleanup-grace.js';
import { CANCEL_KEY } from './step-keys.js';
import type { DurabilityGate } from './durability-gate.js';
import type { PassRecords } from './pass-records.js';
import type { PassState, StopReason } from './pass-state.js';
import type { EngineSettings, PassRun } from './ports.js';
import type { ResultQueue } from './result-queue.js';
import type { Timers } from './timers.js';

/** The parts of a pass that this one uses. */
interface Parts {
  readonly run: PassRun;
  readonly settings: EngineSettings;
  readonly state: PassState;
  readonly alarms: Timers;
  readonly gate: DurabilityGate;
  readonly queue: ResultQueue;
  readonly records: PassRecords;
  readonly calls: { rejectAll(reason: StopReason): void };
  readonly workflow: { whenCreated(known: (outcome: 'made' | 'failed') => void): void };
  readonly end: { stopped(reason: StopReason): void };
}

/**
 * Stops a run: records the request, rejects everything that the code waits for, and gives `catch`
 * and `finally` their time for cleanup.
 */
export class Cancellation implements CleanupGraceDelegate {
  /** Time for cleanup. The run ends when it is used up, and a suspension may not last longer. */
  private grace: CleanupGrace | undefined;

  constructor(
    private readonly parts: Parts,
    private readonly waits: readonly OpenWait[],
  ) {}

  /** Time at which the cleanup must have ended; undefined while the code knows of no stop. */
  get graceEnd(): number | undefined {
    return this.grace?.end;
  }

  /** @returns the remaining time for cleanup, as a wait that the pass after a suspension finds */
  suspendGrace(): OpenWait | undefined {
    return this.grace?.suspend();
  }

  /**
   * Requests that the run is stopped. The first request counts.
   *
   * @param takes id of the message in the inbox that asked for it
   */
  request(error: StopReason, takes: string | null): void {
    const { run, settings, state, gate, records, workflow, end } = this.parts;
    if (this.isStopping) return;
    workflow.whenCreated((outcome) => {
      if (this.isStopping) return;
      if (outcome === 'failed') {
        // There is no code whose `catch` and `finally` could run.
        state.stop(error);
        return end.stopped(error);
      }
      records.mark('cancel', CANCEL_KEY, settings.payloads.encodeError(error, run.id), takes);
      // All calls that were made reject when the record is delivered. None may begin before, where
      // the pass was held.
      gate.clear();
    });
  }

  /** True when the pass has ended, or a stop was recorded or delivered before. */
  private get isStopping(): boolean {
    const { state, queue } = this.parts;
    return state.isClosed || state.stopReason !== undefined || queue.has('cancel');
  }

  /** Tells the code of the recorded stop. */
  deliver(record: StepRecord): void {
    const { run, settings, state, alarms, calls } = this.parts;
    const stored = settings.payloads.decodeError(record.error!);
    const isKnown = stored instanceof WorkflowCancelledError || stored instanceof WorkflowTimeoutError;
    const reason = isKnown ? stored : new WorkflowCancelledError(run.id);
    state.stop(reason);
    calls.rejectAll(reason);
    this.grace = new CleanupGrace(record, this.waits, settings.cancelGraceMs, alarms, this);
  }

  canProgress(): boolean {
    const { settings, gate, records } = this.parts;
    return gate.isLive && settings.isSure() && gate.probe(records.lastSeq);
  }

  graceUsedUp(): void {
    this.parts.end.stopped(this.parts.state.stopReason!);
  }
}
