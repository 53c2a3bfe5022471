/** Clock of the emulator. */
export interface Clock {
  /** Returns the current time in milliseconds since the epoch. */
  now(): number;
}

/** Clock that shows the time of the machine. */
export class RealClock implements Clock {
  now(): number {
    return Date.now();
  }
}

/** Clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  constructor(private time: number) {}

  now(): number {
    return this.time;
  }

  /** Moves the clock forward to this time. An earlier time has no effect. */
  moveTo(time: number): void {
    if (time > this.time) this.time = time;
  }
}
