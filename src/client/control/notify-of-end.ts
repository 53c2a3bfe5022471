import type { RunNotices } from '../../core/run-notices.js';
import type { RunNotifier } from '../../store/run-notifier.js';
import type { EndedRun } from '../../store/sql/end-runs.js';

/**
 * Announces that runs were ended without executing their code: to the processes that own them, to
 * their parents, to callers that wait for their results, and to queues in which they had places.
 */
export async function notifyOfEnd(notices: RunNotices, notifier: RunNotifier, ended: readonly EndedRun[]): Promise<void> {
  if (ended.length === 0) return;
  notices.messaged(ended.map(({ id }) => id));
  notices.endedElsewhere(ended);
  for (const { queue, freedKey } of ended) if (freedKey !== null) notices.placeFreed(queue, freedKey);
  await notifier.notify(ended.flatMap(({ parentId }) => parentId ?? []));
}
