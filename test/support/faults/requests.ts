import type { RunStatus } from '../../../src/core/run.js';
import { isTerminal } from '../../../src/core/run.js';
import { RunNotifier } from '../../../src/store/run-notifier.js';
import type { Database } from '../../../src/store/database.js';
import { bumpRuns } from '../../../src/store/sql/bump-runs.js';
import { notifyOfCancel, sendCancel } from '../../../src/store/sql/cancel-run.js';
import { sweepInbox } from '../../../src/store/sql/sweep-inbox.js';

const ignore = (): void => undefined;

/** A notifier whose announcements nobody hears. */
export function quietNotifier(database: Database): RunNotifier {
  return new RunNotifier(database, { due: () => Promise.resolve(), messaged: ignore, endedElsewhere: ignore, placeFreed: ignore }, ignore);
}

/**
 * Sends a run a request to cancel and notifies the run, once. Returns the run's state afterwards;
 * undefined when there is no such run.
 */
export async function requestCancel(
  database: Database,
  runId: string,
  note: string,
  error: string,
): Promise<{ id: string; status: RunStatus } | undefined> {
  const sent = await sendCancel(database, runId, note);
  if (!sent || isTerminal(sent.status)) return sent;
  const [notified] = await notifyOfCancel(database, [{ runId: sent.id, error, parentId: null }]);
  return notified ? { id: notified.id, status: notified.status } : sent;
}

/**
 * Sweeps the inbox and notifies the runs that have messages because of the sweep. Returns the ids
 * of notified and of cancelled runs.
 */
export async function sweepAndNotify(database: Database): Promise<{ notified: string[]; cancelled: string[] }> {
  const { notified, others } = await sweepInbox(database, 1e9);
  const also = others.length > 0 ? await bumpRuns(database, others) : [];
  const idsOf = (isCancelled: boolean): string[] => [
    ...new Set([...notified, ...also].filter(({ status }) => (status === 'cancelled') === isCancelled).map(({ id }) => id)),
  ];
  return { notified: idsOf(false), cancelled: idsOf(true) };
}
