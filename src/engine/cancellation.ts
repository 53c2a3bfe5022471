import { WorkflowCancelledError, WorkflowTimeoutError } from '../core/errors/index.js';
import type { OpenWait, StepRecord } from '../core/step.js';
import { CleanupGrace, type CleanupGraceDelegate } from './cleanup-grace.js';
import { CANCEL_KEY } from '../core/step-key-format.js';
import type { DurabilityGate } from './durability-gate.js';
import type { PassRecords } from './pass-records.js';
import type { PassState, StopReason } from './pass-state.js';
import type { EngineSettings, PassRun } from './ports.js';
import type { Replay } from './replay.js';
import type { ResultQueue } from './result-queue.js';
import type { Timers } from './timers.js';

/** Milliseconds between two checks if the workflow of a run with steps to undo was created. */
const CREATION_PAUSE_MS = 1_000;

/** Other objects of the same pass (pass-parts.ts) that this class uses. */
interface Parts {
  readonly run: PassRun;
  readonly settings: EngineSettings;
  readonly state: PassState;
  readonly alarms: Timers;
  readonly gate: DurabilityGate;
  readonly activity: { clearQueued(): void };
  readonly queue: ResultQueue;
  readonly records: PassRecords;
  readonly replay: Replay;
  readonly calls: { rejectAll(reason: StopReason): void };
  readonly workflow: { whenCreated(known: (outcome: 'made' | 'failed') => void): void };
  readonly compensation: { readonly isSealed: boolean };
  readonly end: { stopped(reason: StopReason): void };
}

/**
 * Stops a run. Records the request, rejects every call that the workflow's code awaits, and limits
 * the time for cleanup in `catch` and `finally`.
 */
export class Cancellation implements CleanupGraceDelegate {
  /**
   * Time for cleanup; undefined until the stop has reached the code. The run ends when this time is
   * used up, so a suspended run must resume before then.
   */
  private grace: CleanupGrace | undefined;

  constructor(
    private readonly parts: Parts,
    private readonly waits: readonly OpenWait[],
  ) {}

  /** Time by which the cleanup must have ended; undefined until the stop has reached the code. */
  get graceEnd(): number | undefined {
    return this.grace?.end;
  }

  /**
   * Returns the remaining time for cleanup as a wait record, from which the next pass continues.
   */
  suspendGrace(): OpenWait | undefined {
    return this.grace?.suspend();
  }

  /**
   * Requests that the run is stopped. Requests after the first one are ignored.
   *
   * @param takes id of the inbox message that asked for the stop; null when no message did
   */
  request(error: StopReason, takes: string | null): void {
    const { run, settings, state, alarms, gate, activity, records, replay, workflow, end } = this.parts;
    if (this.isStopping) return;
    workflow.whenCreated((outcome) => {
      if (this.isStopping) return;
      if (outcome === 'failed') {
        // Compensations need the workflow's code, so the cancellation waits for the next creation.
        if (replay.hasUndoable) return alarms.set(CANCEL_KEY, alarms.now() + CREATION_PAUSE_MS, () => this.request(error, takes));
        // Ends the run at once, because no code exists whose `catch` and `finally` could run.
        state.stop(error);
        return end.stopped(error);
      }
      records.mark('cancel', CANCEL_KEY, { error: settings.payloads.encodeError(error, run.id), takes });
      // Drops work that has not begun, because every open call rejects when the record is
      // delivered. A held pass could otherwise begin such work when it is resumed.
      gate.clear();
      activity.clearQueued();
    });
  }

  /** Ends the time for cleanup, because the code has no effect any more. */
  endGrace(): void {
    this.grace = undefined;
    this.parts.alarms.clear(CANCEL_KEY);
  }

  /**
   * True when the pass has ended, when a stop was already recorded or delivered, or when the run
   * has failed and its compensations have begun.
   */
  private get isStopping(): boolean {
    const { state, queue, compensation } = this.parts;
    return state.isClosed || state.stopReason !== undefined || compensation.isSealed || queue.has('cancel') || queue.has('compensating');
  }

  /**
   * Delivers the recorded stop to the code: rejects the open calls and starts the time for cleanup.
   */
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
