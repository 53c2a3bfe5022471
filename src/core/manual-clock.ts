import { DatabaseClock, type ClockAlarm } from './clock.js';
import { setImmediate } from './timers.js';

/** Function that a manual clock calls at a given time. */
export class ManualAlarm implements ClockAlarm {
  constructor(
    readonly wakeAt: number,
    private readonly fire: () => void,
    private readonly alarms: Set<ManualAlarm>,
  ) {
    alarms.add(this);
  }

  /** Calls the function, unless it was called or cancelled before. */
  ring(): void {
    if (this.alarms.delete(this)) this.fire();
  }

  cancel(): void {
    this.alarms.delete(this);
  }
}

/**
 * Clock of a test, which stands still until the test moves it. A process has such a clock only
 * while it tests workflows.
 */
export class ManualClock extends DatabaseClock {
  private readonly alarms = new Set<ManualAlarm>();

  /** @param time current time, in milliseconds since the epoch */
  constructor(private time: number) {
    super();
  }

  override now(): number {
    return this.time;
  }

  /** Ignores the server's time: the test moves the server's clock together with this one. */
  override sync(): void {}

  /** Calls `fire` once the clock has reached `wakeAt`, in a later turn of the event loop. */
  override at(wakeAt: number, fire: () => void): ManualAlarm {
    const alarm = new ManualAlarm(wakeAt, fire, this.alarms);
    if (wakeAt <= this.time) setImmediate(() => alarm.ring());
    return alarm;
  }

  /** Time of the first alarm that is not due yet; infinity without alarms. */
  get nextAlarm(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const { wakeAt } of this.alarms) if (wakeAt > this.time) first = Math.min(first, wakeAt);
    return first;
  }

  /** True while an alarm is due and its function has not been called. */
  get isRinging(): boolean {
    for (const { wakeAt } of this.alarms) if (wakeAt <= this.time) return true;
    return false;
  }

  /** Moves the time forward and calls the alarms that are due, the earliest first. */
  moveTo(time: number): void {
    this.time = Math.max(this.time, time);
    const due = [...this.alarms].filter(({ wakeAt }) => wakeAt <= this.time);
    for (const alarm of due.sort((a, b) => a.wakeAt - b.wakeAt)) alarm.ring();
  }
}
