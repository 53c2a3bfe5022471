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
      runtime.hub.ended(run.id, { status: outcome.status, output, error, continuedAs });
      runtime.streams.noticed([run.id]);
      runtime.notify({ ended: [run.id] });
      if (outcome.status === 'failed') {
        const { code, step } = outcome.failure;
        runtime.failures.runFailed(run, code, step, runtime.payloads.showError(outcome.error));
      }
    },
    due: (runs) => runtime.due(runs),
    returned: (runIds) => runtime.returned(runIds),
    endedElsewhere: (runIds) => runtime.endedElsewhere(runIds),
    messaged: (runIds) => runtime.messaged(runIds),
    streamed: (runId) => {
      runtime.streams.noticed([runId]);
      runtime.notify({ streams: [runId] });
    },
    attemptFailed: (run, failure) => runtime.failures.attemptFailed(run, failure),
    log: (level, message, error, fields) =>
      level === 'error' ? runtime.logger.line('error', message, fields, error) : runtime.warn(message, error, fields),
  };
}
