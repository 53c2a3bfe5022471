import { setImmediate } from '../core/timers.js';
import type { Attempts } from './attempts.js';
import type { Cancellation } from './cancellation.js';
import type { DurabilityGate } from './durability-gate.js';
import type { ExternalEvents } from './external-events.js';
import type { ActivityDelegate } from './pass-handle.js';
import type { PassRecords } from './pass-records.js';
import type { PassState } from './pass-state.js';
import type { PassPort, PassRun } from './ports.js';
import type { ResultQueue } from './result-queue.js';
import type { Timers } from './timers.js';

/** The parts of a pass that this one uses. */
interface Parts {
  readonly run: PassRun;
  readonly port: PassPort;
  readonly state: PassState;
  readonly timers: Timers;
  readonly attempts: Attempts;
  readonly gate: DurabilityGate;
  readonly queue: ResultQueue;
  readonly records: PassRecords;
  readonly events: ExternalEvents;
  readonly cancellation: Cancellation;
}

/** Notifies the worker when a pass only waits, when it is active again and when it is at rest. */
export class PassActivity implements ActivityDelegate {
  /** True while the worker has been told that the pass only waits. */
  isIdle = false;
  private atRest: (() => void) | undefined;

  constructor(private readonly parts: Parts) {}

  /** True while bodies are executed or results are not durable yet. */
  get isWorking(): boolean {
    const { state, attempts, gate, records } = this.parts;
    return !state.isClosed && (attempts.count > 0 || gate.durable < records.lastSeq);
  }

  /**
   * Calls back once, when no body is executed and every result is durable. A later call replaces
   * an earlier one.
   */
  whenAtRest(callback: () => void): void {
    this.atRest = callback;
    this.update();
  }

  /** Compares the activity of the pass with what the worker knows. Called after changes. */
  update(): void {
    const { run, port, state, timers, gate, queue, events, cancellation } = this.parts;
    if (state.isClosed) return;
    const { isWorking } = this;
    if (this.atRest && !isWorking) {
      const { atRest } = this;
      this.atRest = undefined;
      // Runs in a callback of its own: the code that caused this update may be in the middle of a
      // change.
      setImmediate(atRest);
    }
    const isActive = queue.isTurning || gate.isGating || isWorking || events.isPending || events.isScreening;
    if (gate.isLive && !isActive && (timers.size > 0 || events.waits > 0)) {
      this.isIdle = true;
      const end = state.stopReason ? cancellation.graceEnd : run.deadlineAt;
      port.idle(Math.min(timers.next(), end ?? Number.POSITIVE_INFINITY));
    } else if (this.isIdle) {
      this.isIdle = false;
      port.busy();
    }
  }
}
