/** Slot of the worker, in which a run executes the bodies of its steps. */
export interface BodySlot {
  /** Takes a slot if one is free. Returns true when the run holds a slot. */
  take(): boolean;
  /** Calls `granted` once the run has got a slot. */
  wait(granted: () => void): void;
}
