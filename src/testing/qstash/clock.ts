/** What the emulator takes for the time. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
}

/** The machine's clock. */
export class RealClock implements Clock {
  now(): number {
    return Date.now();
  }
}

/** Stands still until it is told to move. */
export class ManualClock implements Clock {
  constructor(private time: number) {}

  now(): number {
    return this.time;
  }

  /** Never goes back. */
  moveTo(time: number): void {
    if (time > this.time) this.time = time;
  }
}
