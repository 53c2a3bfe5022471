import { WorkflowCancelledError, WorkflowTimeoutError } from '../core/errors/index.js';
import type { OpenWait, StepRecord } from '../core/step.js';
import { CleanupGrace } from './cleanup-grace.js';
import { markerOf, type Place } from './records.js';
import { CANCEL_KEY } from './step-keys.js';
import type { Timers } from './timers.js';

/** What stops a run before its code is done. */
export type StopReason = WorkflowCancelledError | WorkflowTimeoutError;

/** The pass of the run that is to stop. */
export interface CancellationDelegate {
  readonly runId: string;
  readonly graceMs: number;
  isClosed(): boolean;
  /** Whether a stop is recorded that has not been delivered. */
  isRecorded(): boolean;
  /** Calls back, at once or later, once it is known whether the code can be made. */
  whenMade(known: (outcome: 'made' | 'failed') => void): void;
  nextPlace(): Place;
  encodeError(error: StopReason): string;
  decodeError(text: string): Error;
  record(marker: StepRecord, takes: string | null): void;
  /** Has every call that is under way reject, and every wait be over. */
  abandonCalls(error: StopReason): void;
  /** Whether the code could get on. */
  isGettingOn(): boolean;
  end(error: StopReason): void;
}

/** How a run is stopped: the request is recorded, all that the code waits for rejects with it, and `catch` and `finally` have their grace. */
export class Cancellation {
  /** Undefined until it has been delivered to the code. */
  stop: StopReason | undefined;
  /** After which the run ends, whatever its code still does; a suspension may not last longer. */
  private grace: CleanupGrace | undefined;

  constructor(
    private readonly host: CancellationDelegate,
    private readonly alarms: Timers,
    private readonly waits: readonly OpenWait[],
  ) {}

  /** When the grace is over; undefined while there is none. */
  get graceEnd(): number | undefined {
    return this.grace?.end;
  }

  /** What is left of the grace, for the pass after a suspension. */
  toWait(): OpenWait | undefined {
    return this.grace?.toWait();
  }

  /** The first request counts. `takes` is its message in the inbox. */
  request(error: StopReason, takes: string | null): void {
    const { host } = this;
    if (host.isClosed() || this.stop || host.isRecorded()) return;
    host.whenMade((outcome) => {
      if (host.isClosed() || this.stop || host.isRecorded()) return;
      if (outcome === 'made') return host.record(markerOf('cancel', CANCEL_KEY, host.encodeError(error), host.nextPlace()), takes);
      // There is no code whose `catch` and `finally` could hear of it.
      this.stop = error;
      host.end(error);
    });
  }

  /** The code hears of it. */
  deliver(record: StepRecord): void {
    const { host } = this;
    const stored = host.decodeError(record.error!);
    const isKnown = stored instanceof WorkflowCancelledError || stored instanceof WorkflowTimeoutError;
    const error = isKnown ? stored : new WorkflowCancelledError(host.runId);
    this.stop = error;
    host.abandonCalls(error);
    this.grace = new CleanupGrace(record, this.waits, host.graceMs, this.alarms, {
      isGettingOn: () => host.isGettingOn(),
      over: () => host.end(error),
    });
  }
}
