import { WorkflowCancelledError } from '../core/errors/index.js';
import { decodeError, encodeError } from '../core/serializer/index.js';
import type { StepRecord } from '../core/step.js';
import { CANCEL_KEY } from './step-keys.js';

/** What a cancellation means for a pass: from the delivery of its record on, everything open rejects, and the run ends within the grace. */
export class Cancellation {
  /** Undefined until the request has been delivered to the code. */
  error: WorkflowCancelledError | undefined;
  /** When the run ends, whatever its code still does; a park may not last longer. */
  graceEnd = Number.POSITIVE_INFINITY;

  constructor(private readonly runId: string) {}

  /** The record of a request that has come now. */
  record(reason: string | undefined, seq: number, calledAfter: number, now: number): StepRecord {
    return {
      stepKey: CANCEL_KEY,
      kind: 'cancel',
      seq,
      status: 'completed',
      output: null,
      error: encodeError(new WorkflowCancelledError(this.runId, reason)),
      attempts: 1,
      calledAfter,
      calledAfterIo: true,
      argsHash: null,
      startedAt: now,
      finishedAt: now,
    };
  }

  deliver(record: StepRecord, graceMs: number): WorkflowCancelledError {
    const stored = decodeError(record.error!);
    this.error = stored instanceof WorkflowCancelledError ? stored : new WorkflowCancelledError(this.runId);
    this.graceEnd = record.finishedAt + graceMs;
    return this.error;
  }
}
