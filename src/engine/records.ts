import type { StepRecord } from '../core/step.js';
import type { Call } from './call.js';
import type { Settlement } from './message.js';

/** Where in the order of a run something is recorded. */
export interface Place {
  readonly seq: number;
  /** How many results had been delivered. */
  readonly calledAfter: number;
  /** By the database's clock. */
  readonly now: number;
}

/** The record of a call that has its result. */
export function recordOf(call: Call, { output, error, attempts }: Settlement, seq: number, finishedAt: number): StepRecord {
  const { stepKey, kind, calledAfter, calledAfterIo, argsHash, startedAt } = call;
  const status = error === undefined || error === null ? 'completed' : 'failed';
  return {
    stepKey,
    kind,
    seq,
    status,
    output: output ?? null,
    error: error ?? null,
    attempts,
    calledAfter,
    calledAfterIo,
    argsHash,
    startedAt,
    finishedAt,
  };
}

/** The record of something that the code did not call and gets no result of: a cancellation, a patch. */
export function markerOf(kind: 'cancel' | 'patch', stepKey: string, error: string | null, { seq, calledAfter, now }: Place): StepRecord {
  return {
    stepKey,
    kind,
    seq,
    status: 'completed',
    output: null,
    error,
    attempts: 1,
    calledAfter,
    calledAfterIo: true,
    argsHash: null,
    startedAt: now,
    finishedAt: now,
  };
}
