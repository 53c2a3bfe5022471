import type { ManualAlarm, ManualClock } from '../core/manual-clock.js';
import { clearTimeout, setTimeout } from '../core/timers.js';

/**
 * Longest delay, in milliseconds, that is passed to `setTimeout`. Node would turn a delay of 2^31
 * or more into 1 ms.
 */
const MAX_DELAY_MS = 2 ** 30;

/** Time of a pass that must stay in memory. Earlier than every time of a timer. */
export const HELD = Number.NEGATIVE_INFINITY;

/**
 * Timers of one execution of the workflow function (a pass), by key. All timers are cleared when
 * the pass ends.
 */
export class Timers {
  private due: Map<string, { wakeAt: number; handle: NodeJS.Timeout | undefined }> | undefined;

  constructor(readonly now: () => number) {}

  /** Calls `fire` once `now()` has reached `wakeAt`, never before. */
  set(key: string, wakeAt: number, fire: () => void): void {
    this.clear(key);
    const left = Math.ceil(wakeAt - this.now());
    const handle = setTimeout(
      () => {
        if (this.now() < wakeAt) return this.set(key, wakeAt, fire);
        this.due?.delete(key);
        fire();
      },
      Math.min(Math.max(left, 0), MAX_DELAY_MS),
    );
    this.due ??= new Map();
    this.due.set(key, { wakeAt, handle });
  }

  /**
   * Keeps the pass in memory until `clear`, without a time: what the key waits for cannot continue
   * another pass.
   */
  hold(key: string): void {
    this.clear(key);
    this.due ??= new Map();
    this.due.set(key, { wakeAt: HELD, handle: undefined });
  }

  clear(key: string): void {
    const timer = this.due?.get(key);
    if (!timer) return;
    clearTimeout(timer.handle);
    this.due!.delete(key);
  }

  clearAll(): void {
    if (!this.due) return;
    for (const { handle } of this.due.values()) clearTimeout(handle);
    this.due.clear();
  }

  has(key: string): boolean {
    return this.due?.has(key) === true;
  }

  get size(): number {
    return this.due?.size ?? 0;
  }

  /** Returns the time of the first timer; infinity without timers, and `HELD` for a hold. */
  next(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const { wakeAt } of this.due?.values() ?? []) first = Math.min(first, wakeAt);
    return first;
  }
}

/** Timers that fire when a test moves its clock. */
export class ManualTimers extends Timers {
  private readonly alarms = new Map<string, ManualAlarm | undefined>();

  constructor(private readonly clock: ManualClock) {
    super(() => clock.now());
  }

  override set(key: string, wakeAt: number, fire: () => void): void {
    this.clear(key);
    const alarm = this.clock.at(wakeAt, () => {
      this.alarms.delete(key);
      fire();
    });
    this.alarms.set(key, alarm);
  }

  override hold(key: string): void {
    this.clear(key);
    this.alarms.set(key, undefined);
  }

  override clear(key: string): void {
    this.alarms.get(key)?.cancel();
    this.alarms.delete(key);
  }

  override has(key: string): boolean {
    return this.alarms.has(key);
  }

  override clearAll(): void {
    for (const alarm of this.alarms.values()) alarm?.cancel();
    this.alarms.clear();
  }

  override get size(): number {
    return this.alarms.size;
  }

  override next(): number {
    return Math.min(...[...this.alarms.values()].map((alarm) => alarm?.wakeAt ?? HELD));
  }
}
