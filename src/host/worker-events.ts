import { isStoredBatch } from '../core/batch.js';
import { readBatchMembers } from '../store/sql/seal-batches.js';
import type { WorkerEvents } from '../worker/worker-types.js';
import type { HostDependencies } from './host-dependencies.js';

/**
 * Creates the handlers for events of a worker. They pass results to waiting callers, notify other
 * processes, and write to the log.
 */
export function workerEvents(runtime: HostDependencies): WorkerEvents {
  return {
    ended: (run, outcome) => {
      const output = outcome.status === 'completed' ? outcome.output : null;
      const error = outcome.status === 'completed' ? null : outcome.error;
      const continuedAs = outcome.status === 'completed' ? (outcome.continuedAs?.id ?? null) : null;
      const seconds = Math.max(0, runtime.clock.now() - run.startedAt) / 1_000;
      runtime.metrics.runEnded(run.name, continuedAs === null ? outcome.status : 'continued', seconds);
      runtime.hub.ended(run.id, { status: outcome.status, output, error, continuedAs });
      runtime.streams.noticed([run.id]);
      runtime.notify({ ended: [run.id] });
      if (isStoredBatch(run.input)) void noticeMembers(runtime, run.id);
      if (outcome.status === 'failed') {
        const { code, step } = outcome.failure;
        runtime.failures.runFailed(run, code, step, runtime.payloads.showError(outcome.error));
      }
    },
    due: (runs) => runtime.due(runs),
    returned: (runIds) => runtime.returned(runIds),
    endedElsewhere: (runs) => runtime.endedElsewhere(runs),
    messaged: (runIds) => runtime.messaged(runIds),
    placeFreed: (queue, key) => runtime.placeFreed(queue, key),
    streamed: (runId) => {
      runtime.streams.noticed([runId]);
      runtime.notify({ streams: [runId] });
    },
    attemptFailed: (run, failure) => {
      runtime.metrics.attemptFailed(run.name, failure.stepKey);
      runtime.failures.attemptFailed(run, failure);
    },
    log: (level, code, message, error, fields) =>
      level === 'error' ? runtime.error(code, message, error, fields) : runtime.warn(code, message, error, fields),
  };
}

/** Tells callers that wait for the members of a batch that the batch has ended. */
async function noticeMembers(runtime: HostDependencies, batchId: string): Promise<void> {
  try {
    const members = await readBatchMembers(runtime.database, batchId);
    runtime.hub.noticed(members);
    runtime.notify({ ended: members });
  } catch {
    // The callers poll too.
  }
}
