import { announce, type RunNotices } from '../core/run-notices.js';
import type { Database } from '../store/database.js';
import type { RunNotifier } from '../store/run-notifier.js';
import { sweepControl } from '../store/sql/sweep-control.js';
import { sweepInbox } from '../store/sql/sweep-inbox.js';

/**
 * Finds messages of which runs were not notified, because the sender died in between or a row was
 * locked for too long, and notifies the runs. Also clears away what was sent to runs that have
 * ended since.
 */
export async function sweepMessages(database: Database, notifier: RunNotifier, notices: RunNotices): Promise<void> {
  const { notified, others } = await sweepInbox(database);
  await announce(notices, [...notified, ...(await sweepControl(database))]);
  await notifier.notify(others);
}
