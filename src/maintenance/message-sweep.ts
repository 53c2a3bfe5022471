import { announce, type RunNotices } from '../core/run-notices.js';
import type { Database } from '../store/database.js';
import type { RunNotifier } from '../store/run-notifier.js';
import { sweepControl } from '../store/sql/sweep-control.js';
import { sweepInbox, type SweptWork } from '../store/sql/sweep-inbox.js';

/**
 * Finds messages whose runs were not notified, and notifies the runs. Such a message remains when
 * its sender died before the notification, or when the run's row was locked for too long. Also
 * deletes messages to runs that have ended.
 *
 * @returns work of events and of shared starts that the same statements have found
 */
export async function sweepMessages(
  database: Database,
  notifier: RunNotifier,
  notices: RunNotices,
  eventRetentionMs: number,
): Promise<ReadonlySet<SweptWork>> {
  const { notified, others, work } = await sweepInbox(database, eventRetentionMs);
  await announce(notices, [...notified, ...(await sweepControl(database))]);
  await notifier.notify(others);
  return work;
}
