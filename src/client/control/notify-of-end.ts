import type { RunNotices } from '../../core/run-notices.js';
import type { RunNotifier } from '../../store/run-notifier.js';
import type { EndedRun } from '../../store/sql/end-runs.js';

/**
 * Notifies the owners, the parents and the result waits of runs that were ended without their code.
 */
export async function notifyOfEnd(notices: RunNotices, notifier: RunNotifier, ended: readonly EndedRun[]): Promise<void> {
  if (ended.length === 0) return;
  const ids = ended.map(({ id }) => id);
  notices.messaged(ids);
  notices.endedElsewhere(ids);
  await notifier.notify(ended.flatMap(({ parentId }) => parentId ?? []));
}
