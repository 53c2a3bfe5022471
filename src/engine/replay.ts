import type { History, OpenWait, StepRecord } from '../core/step.js';
import type { Call } from './call.js';

const NOTHING: readonly StepRecord[] = [];

/**
 * The recorded part of a run, and whether today's code keeps to it. With each step was recorded after how many deliveries it was called; so
 * before one more result is delivered, all calls that came before it must have been made again.
 */
export class Replay {
  // Most passes are a run's first: they have nothing to look up, and get no maps.
  private readonly byKey: ReadonlyMap<string, StepRecord> | undefined;
  private readonly waits: ReadonlyMap<string, OpenWait> | undefined;
  /** In the order in which the calls were made. */
  private readonly expected: readonly StepRecord[];
  /** Whether calls came out of ordinary I/O when the run was recorded. */
  readonly hasIo: boolean = false;
  private checked = 0;
  private readonly called: Set<string> | undefined;
  /** Recorded waits that the code has not come to. */
  private readonly ahead: Set<string> | undefined;

  constructor(history: History) {
    this.expected = NOTHING;
    if (history.waits.length > 0) {
      this.waits = new Map(history.waits.map((wait) => [wait.stepKey, wait]));
      this.ahead = new Set(this.waits.keys());
    }
    if (history.steps.length === 0) return;
    this.byKey = new Map(history.steps.map((step) => [step.stepKey, step]));
    this.called = new Set();
    this.hasIo = history.steps.some((step) => step.calledAfterIo && !isMarker(step));
    this.expected = history.steps.filter((step) => !isMarker(step)).sort((a, b) => a.calledAfter - b.calledAfter);
  }

  /** The record of a step that is called now, if it has one. */
  call(stepKey: string): StepRecord | undefined {
    this.ahead?.delete(stepKey);
    const record = this.byKey?.get(stepKey);
    if (record) this.called!.add(stepKey);
    return record;
  }

  /** Whether the code has come to everything that it had come to before. */
  get isCaughtUp(): boolean {
    return (this.ahead?.size ?? 0) === 0;
  }

  /** Whether the step had its result when the pass began. */
  isRecorded(stepKey: string): boolean {
    return this.byKey?.has(stepKey) === true;
  }

  /** The wait that was open when the run was last let go of. */
  openWait(stepKey: string): OpenWait | undefined {
    return this.waits?.get(stepKey);
  }

  /** A recorded step that the code should have called by now, after so many deliveries, and has not. */
  findMissing(delivered: number): StepRecord | undefined {
    for (; this.checked < this.expected.length; this.checked++) {
      const step = this.expected[this.checked]!;
      if (step.calledAfter > delivered) return undefined;
      if (!this.called!.has(step.stepKey)) return step;
    }
    return undefined;
  }

  /** A recorded step that the code never called. */
  findUncalled(): StepRecord | undefined {
    return this.findMissing(Number.POSITIVE_INFINITY);
  }
}

/** Not called by the code, or allowed to vanish from it: cancellations, and patches whose old branch is gone. */
function isMarker({ kind }: StepRecord): boolean {
  return kind === 'cancel' || kind === 'patch';
}

/** What tells a call of today's code from the one that was recorded; undefined when nothing does. */
export function differs(record: Pick<StepRecord, 'kind' | 'argsHash' | 'calledAfter' | 'calledAfterIo'>, call: Call): string | undefined {
  if (record.kind !== call.kind) return `it is recorded as a ${record.kind}, and is a ${call.kind} now`;
  if (record.argsHash !== null && call.argsHash !== null && record.argsHash !== call.argsHash)
    return 'it was recorded with other arguments';
  if (!record.calledAfterIo && record.calledAfter !== call.calledAfter) {
    return `it was recorded as called after ${record.calledAfter} results, and is called after ${call.calledAfter} now`;
  }
  return undefined;
}
