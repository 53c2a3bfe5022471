import { checkQueue, checkStepLimit } from '../core/queue-limits.js';
import type { Database } from '../store/database.js';
import { adoptFirst } from '../store/sql/adopt-runs.js';
import { declareQueue, refreshKnownQueues } from '../store/sql/queues.js';
import type { ModuleSettings } from './settings.js';

/**
 * Stores the limits of the module's options, and reads which queues have limits. Processes with
 * different options for one queue replace each other's: the last one to boot decides. A sweep finds
 * runs that were started before their queue had limits, so that the boot does not wait for them.
 */
export async function declareQueues(database: Database, { queues, limits }: ModuleSettings): Promise<void> {
  for (const [name, options] of queues) {
    const checked = checkQueue(options, `queues.${name}`);
    const hasChanged = await declareQueue(database, { kind: 'queue', name, json: JSON.stringify(options), limits: checked });
    if (hasChanged && checked.isLimited) await adoptFirst(database, name);
  }
  for (const [name, options] of limits)
    await declareQueue(database, { kind: 'step', name, json: JSON.stringify(options), limits: checkStepLimit(options, `limits.${name}`) });
  await refreshKnownQueues(database);
}
