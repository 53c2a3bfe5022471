import { performance } from 'node:perf_hooks';
import type { BodySlot } from '../engine/body-slot.js';

/**
 * Milliseconds without a free slot after which a warning names the workflows that hold the slots.
 */
const STUCK_MS = 30_000;

/**
 * Maximum number of admitted runs per slot, and in all. Admitted runs take memory, and a worker
 * that dies delays them all.
 */
const MAX_RUNS_PER_SLOT = 20;
const MAX_RUNS = 2_000;

/** Number of measured times from which the share of time in slots is known. */
const MIN_SAMPLES = 32;
/** Number of measured times after which older ones count half. */
const SAMPLES_KEPT = 1_024;
/**
 * Maximum number of milliseconds that one write counts. Without this limit, one long outage of the
 * database would hide the usual times for minutes.
 */
const MAX_BETWEEN_MS = 1_000;

/**
 * Maximum number of milliseconds that a run waits for a slot. After that, the run is handed back,
 * because another worker may have a free slot. A run that has held a slot is next in line, and a
 * hand-back would put it behind all due runs, so it waits longer.
 */
const MAX_QUEUED_MS = { beginning: 1_000, continuing: 10_000 };

/** Notified of changes of the slots. */
export interface SlotsDelegate {
  /** Called when a run may be admitted that could not be admitted before. */
  slotFreed(): void;
  /** Called when a run begins to wait for a slot. */
  slotQueued(): void;
}

/**
 * Slots, which limit how many runs execute step bodies at the same time. A run holds its slot only
 * while it executes a body or other I/O of its own. It holds none while its result is written to
 * the database, and none while it only waits.
 *
 * So that the slots do not stay empty while results are written, the worker admits more runs than
 * there are slots. The number follows Little's law: if runs spend one tenth of their time in slots,
 * then ten times as many runs as slots keep all slots busy. With long bodies the worker admits as
 * many runs as it has slots, and leaves other runs to other workers.
 */
export class Slots {
  private taken = 0;
  private admitted = 0;
  /**
   * Runs that wait for a slot, in the order of their requests. Runs that have held a slot come
   * before runs that begin, so that half-done runs end first.
   */
  private readonly queues = { continuing: new Set<RunSlot>(), beginning: new Set<RunSlot>() };
  /** Time at which a slot was last free, by performance.now(). */
  private roomAt = performance.now();
  /** Sum of the start times of the runs that hold slots now. */
  private heldSince = 0;
  private heldMs = 0;
  private betweenMs = 0;
  private samples = 0;

  /**
   * @param kind `counted` never lets a run wait: every delivery of a transport executes its run
   */
  constructor(
    readonly size: number,
    private readonly kind: 'limited' | 'counted',
    private readonly delegate: SlotsDelegate,
  ) {}

  get free(): number {
    return Math.max(0, this.size - this.taken);
  }

  /** True when a run may take a slot without waiting for other runs. */
  get isOpen(): boolean {
    return this.kind === 'counted' || (!this.isQueueing && this.taken < this.size);
  }

  /** True while runs wait for a slot. */
  get isQueueing(): boolean {
    return this.queues.continuing.size + this.queues.beginning.size > 0;
  }

  /** Number of runs that may be admitted now. */
  get room(): number {
    return this.isQueueing ? 0 : Math.max(0, this.limit - this.admitted);
  }

  /** Admits runs that are about to begin. Each must later begin (`open`) or be dismissed. */
  admit(count = 1): void {
    this.admitted += count;
  }

  /** Takes back the admission of runs that do not begin. */
  dismiss(count = 1): void {
    this.admitted -= count;
    this.delegate.slotFreed();
  }

  /** Returns the slot of an admitted run that begins. The run holds no slot yet. */
  open(): RunSlot {
    return new RunSlot(this);
  }

  /** Returns the seconds without a free slot when a warning is due, otherwise undefined. */
  stuckForSeconds(): number | undefined {
    const now = performance.now();
    if (this.free > 0) this.roomAt = now;
    const ms = now - this.roomAt;
    if (ms < STUCK_MS) return undefined;
    this.roomAt = now;
    return Math.round(ms / 1_000);
  }

  /** Maximum number of admitted runs. */
  private get limit(): number {
    if (this.samples < MIN_SAMPLES) return this.size;
    const held = this.heldMs + this.taken * performance.now() - this.heldSince;
    const most = Math.max(this.size, Math.min(this.size * MAX_RUNS_PER_SLOT, MAX_RUNS));
    // Rounded down: with long bodies not even one more run is admitted, because it would only wait.
    return Math.min(most, Math.floor((this.size * (held + this.betweenMs)) / Math.max(held, 0.001)));
  }

  /** @internal */
  entered(slot: RunSlot, now: number): void {
    this.taken++;
    this.heldSince += now;
    this.dequeue(slot);
  }

  /** @internal */
  left(since: number, now: number): void {
    this.taken--;
    this.roomAt = now;
    this.heldSince -= since;
    this.heldMs += now - since;
    this.grant();
  }

  /** @internal */
  spentBetween(ms: number): void {
    this.betweenMs += Math.min(ms, MAX_BETWEEN_MS);
    if (++this.samples < SAMPLES_KEPT) return;
    this.samples /= 2;
    this.betweenMs /= 2;
    this.heldMs /= 2;
  }

  /** @internal */
  enqueue(slot: RunSlot): void {
    this.queues[slot.hasBegun ? 'continuing' : 'beginning'].add(slot);
    this.delegate.slotQueued();
  }

  /** @internal */
  dequeue(slot: RunSlot): void {
    this.queues.continuing.delete(slot);
    this.queues.beginning.delete(slot);
  }

  private grant(): void {
    if (this.taken >= this.size) return;
    const [next = this.queues.beginning.values().next().value] = this.queues.continuing;
    if (next) next.grant();
    else this.delegate.slotFreed();
  }
}

/**
 * Slot of one run.
 *
 * | State      | The run                                                        |
 * | ---------- | -------------------------------------------------------------- |
 * | `admitted` | holds no slot: its code was not called yet, or a result of the |
 * |            | run is being written                                           |
 * | `queued`   | waits for a slot, to begin a body                              |
 * | `held`     | holds a slot                                                   |
 * | `resting`  | only waits, or has left this process; does not count           |
 */
export class RunSlot implements BodySlot {
  private state: 'admitted' | 'queued' | 'held' | 'resting' = 'admitted';
  private granted: (() => void) | undefined;
  /** True once the run has held a slot in this process. */
  hasBegun = false;
  /** Time of the last change of the state, by performance.now(). */
  private since = performance.now();

  constructor(private readonly slots: Slots) {}

  get isHeld(): boolean {
    return this.state === 'held';
  }

  /** Takes a slot for a body, if one is free and no other run waits for it. */
  take(): boolean {
    if (this.state === 'held') return true;
    if (!this.slots.isOpen) return false;
    this.hold();
    return true;
  }

  /** Calls `granted` once the run has got a slot. */
  wait(granted: () => void): void {
    this.granted = granted;
    if (this.state === 'queued') return;
    this.enter('queued');
    this.slots.enqueue(this);
  }

  /** @internal Gives the run a slot that was freed. */
  grant(): void {
    const { granted } = this;
    this.granted = undefined;
    this.hold();
    granted?.();
  }

  /** Takes a slot, even if none is free: the code is already active. */
  hold(): void {
    if (this.state === 'held') return;
    const now = this.enter('held');
    this.hasBegun = true;
    this.slots.entered(this, now);
  }

  /** Gives the slot back while a result is written. The run stays admitted. */
  lend(): void {
    if (this.state === 'held' || this.state === 'resting') this.enter('admitted');
  }

  /**
   * Gives the slot back, or stops waiting for one, because the run's code has been stopped. The run
   * stays admitted until it has left this process.
   */
  release(): void {
    if (this.state !== 'admitted') this.enter('admitted');
  }

  get isQueued(): boolean {
    return this.state === 'queued';
  }

  /** True when the run has waited for so long that another worker should get it. */
  isOverdue(now: number): boolean {
    return this.isQueued && now - this.since >= (this.hasBegun ? MAX_QUEUED_MS.continuing : MAX_QUEUED_MS.beginning);
  }

  /** Gives the slot back, and makes room for another run. */
  rest(): void {
    if (this.state === 'resting') return;
    this.enter('resting');
  }

  private enter(state: RunSlot['state']): number {
    const now = performance.now();
    const { state: from, since, slots } = this;
    this.state = state;
    this.since = now;
    if (from === 'resting') slots.admit();
    if (from === 'queued' && state !== 'held') {
      this.granted = undefined;
      slots.dequeue(this);
    }
    if (from === 'admitted') slots.spentBetween(now - since);
    if (state === 'resting') slots.dismiss();
    if (from === 'held') slots.left(since, now);
    return now;
  }
}
