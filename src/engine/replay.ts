import type { History, OpenWait, StepRecord } from '../core/step.js';
import type { Call } from './call.js';

const NOTHING: readonly StepRecord[] = [];

/**
 * Records of a run, which the workflow's code must repeat. Each step record stores how many results
 * the code had received when it called the step (`calledAfter`). Before the next result is
 * delivered, the code must have repeated every call that was recorded before that result.
 */
export class Replay {
  // Both maps are absent in the first pass of a run, which has no records. Most passes are first
  // passes, so this saves memory.
  private readonly byKey: ReadonlyMap<string, StepRecord> | undefined;
  private readonly waits: ReadonlyMap<string, OpenWait> | undefined;
  /** Recorded calls in the order in which they were made. */
  private readonly expected: readonly StepRecord[];
  /** True when at least one recorded call was made after ordinary I/O. */
  readonly hasIo: boolean = false;
  private checked = 0;
  private readonly called: Set<string> | undefined;
  /** Step keys of recorded waits that the code has not reached yet. */
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

  /** Marks a step as called. @returns the record of the step, if there is one */
  call(stepKey: string): StepRecord | undefined {
    this.ahead?.delete(stepKey);
    const record = this.byKey?.get(stepKey);
    if (record) this.called!.add(stepKey);
    return record;
  }

  /** True when the run had no records when the pass began. */
  get isFirstPass(): boolean {
    return this.byKey === undefined && this.waits === undefined;
  }

  /** True when the run has recorded a step that has a compensation. */
  get hasUndoable(): boolean {
    return this.expected.some(({ compensateArgs }) => compensateArgs !== undefined);
  }

  /** True when the code has reached every wait that an earlier pass left open. */
  get isCaughtUp(): boolean {
    return (this.ahead?.size ?? 0) === 0;
  }

  /** True when the step already had a result when the pass began. */
  isRecorded(stepKey: string): boolean {
    return this.byKey?.has(stepKey) === true;
  }

  /** Returns the step's wait that an earlier pass left open, if there is one. */
  openWait(stepKey: string): OpenWait | undefined {
    return this.waits?.get(stepKey);
  }

  /**
   * Finds a recorded step that the code has not called yet. Considers only steps that were recorded
   * as called after at most `delivered` results. Steps that were called are not checked again.
   */
  findMissing(delivered: number): StepRecord | undefined {
    for (; this.checked < this.expected.length; this.checked++) {
      const step = this.expected[this.checked]!;
      if (step.calledAfter > delivered) return undefined;
      if (!this.called!.has(step.stepKey)) return step;
    }
    return undefined;
  }

  /** Finds a recorded step that the code never called. */
  findUncalled(): StepRecord | undefined {
    return this.findMissing(Number.POSITIVE_INFINITY);
  }
}

/**
 * Returns true for a record that needs no call in a replay. A cancellation is not a call, nor are
 * the beginning and the end of compensations. The `patched` call of a patch may have been removed
 * from the code.
 */
function isMarker({ kind }: StepRecord): boolean {
  return kind === 'cancel' || kind === 'patch' || kind === 'compensating' || kind === 'compensated';
}

/**
 * Compares a call of the deployed code with its record. @returns the difference, if there is one
 */
export function differs(record: Pick<StepRecord, 'kind' | 'argsHash' | 'calledAfter' | 'calledAfterIo'>, call: Call): string | undefined {
  if (record.kind !== call.kind) return `it is recorded as a ${record.kind}, and is a ${call.kind} now`;
  if (record.argsHash !== null && call.argsHash !== null && record.argsHash !== call.argsHash)
    return 'it was recorded with other arguments';
  if (!record.calledAfterIo && record.calledAfter !== call.calledAfter) {
    return `it was recorded as called after ${record.calledAfter} results, and is called after ${call.calledAfter} now`;
  }
  return undefined;
}
