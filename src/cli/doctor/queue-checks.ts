import { counted } from '../../core/log-text.js';
import { listQueues } from '../../store/sql/list-queues.js';
import type { Connection } from '../connection.js';
import { ok, warn, type Check, type Finding } from './finding.js';

/** Checks of queues with limits. */
export const queueChecks: readonly Check[] = [{ subject: 'queues with limits', needsSchema: true, run: checkQueues }];

async function checkQueues({ database }: Connection): Promise<Finding[]> {
  const findings = (await listQueues(database, null)).flatMap(({ name, concurrency, suspendedPlaces, waiting, isPaused }): Finding[] => {
    if (isPaused && waiting > 0)
      return [
        warn(
          'QUEUE_PAUSED',
          `Queue "${name}" is paused, and ${counted(waiting, 'run')} wait.`,
          'Resume the queue when the reason is gone.',
        ),
      ];
    if (concurrency === null || suspendedPlaces < concurrency || waiting === 0) return [];
    const text = `Suspended runs have all ${counted(concurrency, 'place')} of queue "${name}", and ${counted(waiting, 'run')} wait.`;
    return [warn('QUEUE_SUSPENDED', text, 'Raise the limit, or turn countSuspended off.')];
  });
  return findings.length > 0 ? findings : [ok('QUEUES_FINE', 'No queue with limits is paused, or full of suspended runs.')];
}
