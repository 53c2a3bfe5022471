import { notifyOfEnd } from '../client/control/notify-of-end.js';
import { WorkflowTimeoutError } from '../core/errors/index.js';
import type { Payloads } from '../core/payloads.js';
import type { DispatchKey } from '../core/run.js';
import type { RunNotices } from '../core/run-notices.js';
import type { Database } from '../store/database.js';
import type { RunNotifier } from '../store/run-notifier.js';
import { endRuns, findOverdueRuns } from '../store/sql/end-runs.js';

/**
 * Fails runs whose `timeout` has passed and that no process can execute. Such runs are blocked,
 * were never claimed, or belong to a workflow that no living process has.
 *
 * @param served workflows that this process claims, which may be missing in the row of its session
 */
export async function sweepOverdue(
  database: Database,
  payloads: Payloads,
  notices: RunNotices,
  notifier: RunNotifier,
  served: readonly DispatchKey[],
): Promise<void> {
  const ids = await findOverdueRuns(database, served);
  if (ids.length === 0) return;
  const errors = new Map(ids.map((id) => [id, payloads.encodeError(new WorkflowTimeoutError(id), id)]));
  const ending = {
    status: 'failed',
    errorCode: 'WORKFLOW_TIMEOUT',
    event: 'timed_out',
    note: null,
    which: { overdueBeside: served },
    // A locked run is left out here, and the next sweep finds it again.
    whereLocked: 'leave out',
  } as const;
  const ended = await endRuns(database, { ...ending, errors });
  await notifyOfEnd(notices, notifier, ended);
}
