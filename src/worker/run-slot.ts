import { performance } from 'node:perf_hooks';
import type { BodySlot } from '../engine/body-slot.js';

/**
 * Maximum number of milliseconds that a run waits for a slot. After that, the run is handed back,
 * because another worker may have a free slot. A run that has held a slot is next in line, and a
 * hand-back would put it behind all due runs, so it waits longer.
 */
const MAX_QUEUED_MS = { beginning: 1_000, continuing: 10_000 };

/** Methods of the slots that the slot of one run calls. */
export interface SlotPool {
  readonly free: number;
  readonly isOpen: boolean;
  admit(): void;
  dismiss(): void;
  entered(slot: RunSlot, now: number): void;
  left(since: number, now: number): void;
  spentBetween(ms: number): void;
  enqueue(slot: RunSlot): void;
  dequeue(slot: RunSlot): void;
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
  /** True while the run holds one slot more than there are, because its code was already active. */
  private isExtra = false;
  /** Time of the last change of the state, by performance.now(). */
  private since = performance.now();

  constructor(private readonly slots: SlotPool) {}

  get isHeld(): boolean {
    return this.state === 'held';
  }

  /** Takes a slot for a body, if one is free and no other run waits for it. */
  take(): boolean {
    // The code may be active in more runs than there are slots. No body may begin in such a run.
    if (this.isExtra) this.lend();
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
    const isExtra = this.slots.free === 0;
    const now = this.enter('held');
    this.isExtra = isExtra;
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
    this.isExtra = false;
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
