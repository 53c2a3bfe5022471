import { ResultHub } from '../client/result-hub.js';
import type { HostDependencies } from './host-dependencies.js';
import { unregisteredResults } from './unregistered-results.js';
import type { WorkerHosts } from './worker-hosts.js';

const POLL_INTERVAL_MS = 100;
const MAX_POLL_INTERVAL_MS = 1_000;

/** Creates the object through which all callers of this process wait for results. */
export function createResultHub(runtime: HostDependencies & { readonly workers: WorkerHosts }): ResultHub {
  const { database, payloads, settings } = runtime;
  const now = (): number => runtime.clock.now();
  return new ResultHub(database, {
    payloads,
    pollIntervalMs: POLL_INTERVAL_MS,
    maxPollIntervalMs: MAX_POLL_INTERVAL_MS,
    receivesNotices: () => runtime.direct?.isConnected ?? false,
    failed: (error) => runtime.warn('results-query-failed', 'results: could not query results', error),
    now,
    findUnregistered: unregisteredResults(
      database,
      { settings, now, idle: () => (runtime.workers.polling?.known.keys ? undefined : runtime.workers.idle) },
      process.env,
    ),
  });
}
