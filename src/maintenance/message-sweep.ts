import { announce, type RunNotices } from '../core/run-notices.js';
import type { Database } from '../store/database.js';
import type { RunNotifier } from '../store/run-notifier.js';
import { sweepControl } from '../store/sql/sweep-control.js';
import { sweepInbox } from '../store/sql/sweep-inbox.js';

/**
 * Finds messages whose runs were not notified, and notifies the runs. Such a message remains when
 * its sender died before the notification, or when the run's row was locked for too long. Also
 * deletes messages to runs that have ended.
 *
 * @returns true when events wait to be dispatched, or waits for events were not looked at
 */
export async function sweepMessages(
  database: Database,
  notifier: RunNotifier,
  notices: RunNotices,
  eventRetentionMs: number,
): Promise<boolean> {
  const { notified, others, hasEventWork } = await sweepInbox(database, eventRetentionMs);
  await announce(notices, [...notified, ...(await sweepControl(database))]);
  await notifier.notify(others);
  return hasEventWork;
}
