import type { WorkerEvents } from '../worker/worker-types.js';
import type { HostSurroundings } from './host-surroundings.js';

/** What becomes of what a worker tells: results for those who wait, news for other processes, lines for the log. */
export function workerEvents(runtime: HostSurroundings): WorkerEvents {
  return {
    ended: (run, outcome) => {
      const output = outcome.status === 'completed' ? outcome.output : null;
      const error = outcome.status === 'completed' ? null : outcome.error;
      const continuedAs = outcome.status === 'completed' ? (outcome.continuedAs?.id ?? null) : null;
      runtime.hub.ended(run.id, { status: outcome.status, output, error, continuedAs });
      runtime.notify({ ended: [run.id] });
    },
    due: (runs) => void runtime.due(runs),
    returned: (runIds) => runtime.returned(runIds),
    endedUnstarted: (runIds) => endedElsewhere(runtime, runIds),
    messaged: (runIds) => runtime.tell(runIds),
    log: (level, message, error) => (level === 'error' ? runtime.logger.error(message, error) : runtime.warn(message, error)),
  };
}

/** Runs have ended without being executed here. */
export function endedElsewhere(runtime: HostSurroundings, runIds: readonly string[]): void {
  if (runIds.length === 0) return;
  runtime.notify({ ended: runIds });
  runtime.hub.noticed(runIds);
}
