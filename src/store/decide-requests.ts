import type { RunNotices } from '../core/run-notices.js';
import type { Database } from './database.js';
import { decideStarts } from './sql/start-requests.js';

/** Maximum number of batches in one call, so that a stream of requests cannot hold the caller. */
const MAX_BATCHES = 100;

/**
 * Decides the starts with `debounce` or `throttle` that committed transactions have requested, and
 * announces the runs that count.
 */
export async function decideRequests(database: Database, notices: Pick<RunNotices, 'due'>): Promise<void> {
  for (let batch = 0; batch < MAX_BATCHES; batch++) {
    const decided = await decideStarts(database);
    if (!decided) return;
    const due = decided.flatMap(({ runId, wakeAt, ...key }) => (wakeAt === null ? [] : [{ ...key, id: runId, wakeAt }]));
    if (due.length > 0) await notices.due(due);
  }
}
