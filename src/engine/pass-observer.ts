import type { StepRecord } from '../core/step.js';
import type { Call } from './call.js';

/** Notified of the calls that the code makes in a pass. */
export interface PassObserver {
  /** Called when the code has made a call. `record` is its recorded result, if there is one. */
  called(call: Call, record: StepRecord | undefined): void;
  /** Called, instead of giving up the pass, when the code does not make a recorded call. */
  missed(step: StepRecord): void;
  /** Called when all recorded results were delivered and the code still waits for something. */
  stoodStill(): void;
}
