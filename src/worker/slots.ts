import { performance } from 'node:perf_hooks';
import { RunSlot, type SlotPool } from './run-slot.js';

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
export class Slots implements SlotPool {
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
  private isGranting = false;

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

  /**
   * Lets no run wait for a slot any more. Called before runs are stopped: otherwise a run could get
   * the slot of another one, and begin a body before the run itself is stopped.
   */
  dequeueAll(): void {
    for (const slot of [...this.queues.continuing, ...this.queues.beginning]) slot.release();
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

  /** Gives free slots to the runs that wait for them. */
  private grant(): void {
    // A run that cannot use its slot gives it back at once, which calls this method again.
    if (this.isGranting) return;
    this.isGranting = true;
    try {
      while (this.taken < this.size && this.isQueueing) this.next().grant();
    } finally {
      this.isGranting = false;
    }
    if (this.taken < this.size) this.delegate.slotFreed();
  }

  /** Returns the run that gets the next free slot. */
  private next(): RunSlot {
    const { continuing, beginning } = this.queues;
    for (const slot of continuing) return slot;
    for (const slot of beginning) return slot;
    throw new Error('no run waits for a slot');
  }
}
