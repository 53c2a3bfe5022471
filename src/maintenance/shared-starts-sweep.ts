import type { RunNotices } from '../core/run-notices.js';
import type { Database } from '../store/database.js';
import { decideRequests } from '../store/decide-requests.js';
import { freeOrphanedMembers } from '../store/sql/orphaned-members.js';
import { forgetSharedStarts } from '../store/sql/start-requests.js';

const BATCH_KEYS = 1_000;

/**
 * Decides starts with `debounce` or `throttle` whose process died after the commit of their
 * transaction, and deletes keys that no longer count. Lets members whose batch was deleted be
 * executed alone.
 */
export async function sweepSharedStarts(database: Database, notices: Pick<RunNotices, 'due'>, signal: AbortSignal): Promise<void> {
  await decideRequests(database, notices);
  for (let count = BATCH_KEYS; count === BATCH_KEYS && !signal.aborted;) count = await forgetSharedStarts(database, BATCH_KEYS);
  const freed = await freeOrphanedMembers(database, signal);
  if (freed.length > 0) await notices.due(freed);
}
