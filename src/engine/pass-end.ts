import { WorkflowTimeoutError } from '../core/errors/index.js';
import { failureOf } from '../core/failure.js';
import type { OpenWait } from '../core/step.js';
import { encodeOutput } from './batch-payloads.js';
import { warnOfOpenSteps } from './code-warnings.js';
import type { EngineSettings, PassOutcome, PassPort, PassRun, WorkflowDefinition } from './ports.js';
import { ReplayCheck } from './replay-check.js';
import type { CallTable } from './call-table.js';
import type { DurabilityGate } from './durability-gate.js';
import type { ExternalEvents } from './external-events.js';
import type { PassState, StopReason } from './pass-state.js';
import type { Replay } from './replay.js';
import type { ResultQueue } from './result-queue.js';

/** Other objects of the same pass (pass-parts.ts) that this class uses. */
interface Parts {
  readonly run: PassRun;
  readonly definition: WorkflowDefinition;
  readonly port: PassPort;
  readonly settings: EngineSettings;
  readonly state: PassState;
  readonly gate: DurabilityGate;
  readonly queue: ResultQueue;
  readonly replay: Replay;
  readonly calls: CallTable;
  readonly events: ExternalEvents;
  readonly compensation: { readonly isSealed: boolean; takesOver(outcome: PassOutcome): boolean };
}

/**
 * Ends one execution of the workflow function (a pass). Decides the outcome of the run, checks the
 * outcome by a replay if that check is on, and reports the outcome to the worker.
 */
export class PassEnd {
  /** Outcome of a `run()` that ended before all recorded results were delivered. */
  private early: PassOutcome | undefined;
  /**
   * True when the code ended in direct response to the last result, false when ordinary I/O came in
   * between. Undefined until the code has ended.
   */
  endedInTurn: boolean | undefined;
  /**
   * Check that a replay of this pass does the same as the pass; undefined when the replay check is
   * off.
   */
  readonly check: ReplayCheck | undefined;

  constructor(
    private readonly parts: Parts,
    waits: readonly OpenWait[],
  ) {
    if (parts.settings.verifyReplay) this.check = new ReplayCheck(parts, waits);
  }

  /** Ends the pass with the value that `run()` returned. */
  completed(value: unknown): void {
    let outcome: PassOutcome;
    try {
      outcome = { status: 'completed', output: this.encode(value) };
    } catch (error) {
      outcome = this.failure(error);
    }
    this.returned(outcome);
  }

  /** Ends the pass with the error that `run()` threw. */
  failed(error: unknown): void {
    this.returned(this.failure(error));
  }

  /** Ends the pass with the outcome of `run()`, once all recorded results have been delivered. */
  returned(outcome: PassOutcome): void {
    const { definition, port, settings, state, gate, queue, replay, calls, compensation } = this.parts;
    if (state.isClosed || compensation.isSealed) return;
    this.endedInTurn ??= queue.isInTurn;
    if (!queue.isEmpty && !gate.isLive) {
      this.early = outcome;
      return;
    }
    const uncalled = replay.findUncalled();
    if (uncalled) return state.reject(uncalled.stepKey, 'it is recorded, but run() ended without calling it');
    if (state.stopReason) return this.stopped(state.stopReason);
    if (compensation.takesOver(outcome)) return;
    if (settings.isDevelopment) warnOfOpenSteps(definition, calls.byKey.values(), (code, message) => port.warn(code, message));
    if (!this.check || !this.endedInTurn || !this.check.isPossible) {
      state.end();
      return this.report(outcome);
    }
    state.end();
    this.check.findDifference(outcome).then(
      (error) => state.hasEnded && this.report(error ? this.failure(error) : outcome),
      () => state.hasEnded && this.report(outcome),
    );
  }

  /**
   * Ends the pass if `run()` ended before all recorded results were delivered. Called after the
   * last of these results.
   *
   * @returns true when the pass was ended
   */
  endIfEarly(): boolean {
    const { early } = this;
    if (!early) return false;
    this.early = undefined;
    this.returned(early);
    return this.parts.state.isClosed;
  }

  /** Ends a run that was cancelled or has timed out, whatever its code still does. */
  stopped(reason: StopReason): void {
    const { run, settings, state, compensation } = this.parts;
    if (state.isClosed || compensation.isSealed) return;
    const outcome: PassOutcome =
      reason instanceof WorkflowTimeoutError
        ? this.failure(reason)
        : { status: 'cancelled', error: settings.payloads.encodeError(reason, run.id) };
    if (compensation.takesOver(outcome)) return;
    state.end();
    this.report(outcome);
  }

  /** Ends the pass after its compensations. Skips the replay check. */
  finish(outcome: PassOutcome): void {
    const { state, replay } = this.parts;
    if (state.isClosed) return;
    const uncalled = replay.findUncalled();
    if (uncalled) return state.reject(uncalled.stepKey, 'it is recorded, and the compensations ended without calling it');
    state.end();
    this.report(outcome);
  }

  /** Ends the pass because a compensation has failed for good, whatever its code still does. */
  compensationFailed(error: Error): void {
    const { state } = this.parts;
    if (state.isClosed) return;
    state.end();
    this.report(this.failure(error));
  }

  private report(outcome: PassOutcome): void {
    const { port, state, calls, events } = this.parts;
    port.ended(outcome, calls.hasWaits || state.stopReason || events.hasMessages ? 'some' : 'none');
  }

  private failure(thrown: unknown): PassOutcome {
    const { run, settings, calls } = this.parts;
    const { stored, plain } = settings.payloads.encodeFailure(thrown, run.id);
    return { status: 'failed', error: stored, failure: failureOf(plain, (stepKey) => calls.byKey.get(stepKey)?.name) };
  }

  private encode(value: unknown): string {
    return encodeOutput(this.parts, value);
  }
}
