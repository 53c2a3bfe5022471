import { setImmediate } from '../core/timers.js';
import type { Attempts } from './attempts.js';
import type { Cancellation } from './cancellation.js';
import type { PendingStarts } from './pending-starts.js';
import type { DurabilityGate } from './durability-gate.js';
import type { ExternalEvents } from './external-events.js';
import type { ActivityDelegate } from './pass-handle.js';
import type { PassRecords } from './pass-records.js';
import type { PassState } from './pass-state.js';
import type { PassPort, PassRun, WorkflowCode } from './ports.js';
import type { ResultQueue } from './result-queue.js';
import type { Timers } from './timers.js';

/** Other objects of the same pass (pass-parts.ts) that this class uses. */
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
  readonly compensation: { readonly isSealed: boolean };
  readonly pendingStarts: PendingStarts;
  readonly workflow: { readonly code: WorkflowCode | undefined };
}

/**
 * Tells the worker if the pass only waits, if results are being written and delivered, or if the
 * code is active. The first two need no slot. Also reports when the pass is at rest: no body is
 * executed and every result is durable.
 */
export class PassActivity implements ActivityDelegate {
  /** Last report to the worker. */
  private reported: 'code' | 'results' | 'idle' = 'results';
  /** Bodies that wait for a slot of the worker. */
  private queued: (() => void)[] = [];
  private atRest: (() => void) | undefined;

  constructor(private readonly parts: Parts) {}

  /** True when the last report to the worker was that the pass only waits. */
  get isIdle(): boolean {
    return this.reported === 'idle';
  }

  /**
   * Calls `now` if the worker has a slot for a body of this run, otherwise `later` once it has.
   * `later` must check again that the body may begin: the code may have received further results.
   */
  withSlot(now: () => void, later: () => void): void {
    const { slot } = this.parts.port;
    if (slot.take()) {
      now();
      return this.giveBackUnused();
    }
    this.queued.push(later);
    slot.wait(() => this.retryQueued());
    // A retry whose pause is over may be the first to find that the pass no longer only waits.
    this.update();
  }

  /** Tries again to begin the bodies that wait for a slot: the run has got one, or continues. */
  retryQueued(): void {
    for (const later of this.queued.splice(0)) later();
    this.update();
    this.giveBackUnused();
  }

  /** Forgets the bodies that wait for a slot. Their calls will reject or never settle. */
  clearQueued(): void {
    this.queued = [];
  }

  /** Gives a slot back in which no body has begun. */
  private giveBackUnused(): void {
    const { state, attempts, port, workflow } = this.parts;
    if (!state.isClosed && workflow.code && attempts.count === 0 && this.reported === 'results') port.working('results');
  }

  /** True while step bodies are executed or results are not durable yet. */
  get isWorking(): boolean {
    const { state, attempts, gate, records } = this.parts;
    return !state.isClosed && (attempts.count > 0 || gate.durable < records.lastSeq);
  }

  /**
   * Calls `callback` once, when no body is executed and every result is durable. A later callback
   * replaces an earlier one.
   */
  whenAtRest(callback: () => void): void {
    this.atRest = callback;
    this.update();
  }

  /**
   * Reports to the worker whether the pass has become idle or active. Called after each change that
   * may make the pass idle or active.
   */
  update(): void {
    const { run, port, state, timers, attempts, gate, queue, events, cancellation, compensation, pendingStarts, workflow } = this.parts;
    if (state.isClosed) return;
    const { isWorking } = this;
    if (this.atRest && !isWorking) {
      const { atRest } = this;
      this.atRest = undefined;
      // Calls back later, because the code that called `update` may be in the middle of a change.
      setImmediate(atRest);
    }
    // The creation of the workflow instance reports to the worker itself.
    if (!workflow.code) return;
    const hasBodies = attempts.count > 0;
    const isDelivering = queue.isTurning || gate.isGating || isWorking || events.isPending || events.isScreening || this.queued.length > 0;
    const isBusy = hasBodies || isDelivering || pendingStarts.areActive;
    if (gate.isLive && !isBusy && (timers.size > 0 || events.waits > 0)) {
      this.reported = 'idle';
      // The deadline of the run does not end its compensations.
      const end = compensation.isSealed ? undefined : state.stopReason ? cancellation.graceEnd : run.deadlineAt;
      port.idle(Math.min(timers.next(), end ?? Number.POSITIVE_INFINITY));
      return;
    }
    // A held pass and a replay wait for the worker and for the history, not for the code.
    const activity = hasBodies || (!isDelivering && gate.isOpen) ? 'code' : 'results';
    if (activity === this.reported) return;
    this.reported = activity;
    port.working(activity);
  }
}
