import { unregisteredOf } from '../client/queries/health.js';
import type { DispatchKey } from '../core/run.js';
import { dispatchLabel } from '../core/served.js';
import type { Database } from '../store/database.js';
import { DUE_COUNTED, findDueRuns, findWaitingKinds } from '../store/sql/health.js';

const MAX_SHOWN_KINDS = 10;

/** Warning about runs that this process cannot continue. */
export interface UnregisteredLine {
  readonly code: 'unregistered-due' | 'unregistered-waiting';
  readonly message: string;
}

/**
 * Describes the runs that no workflow class of this process can continue, by workflow, version and
 * queue. Their class is probably missing among the providers, but another process may have the
 * class.
 *
 * @returns warnings for the log
 */
export async function describeUnregistered(database: Database, keys: readonly DispatchKey[]): Promise<UnregisteredLine[]> {
  const due = unregisteredOf(await findDueRuns(database), keys).map(
    (each) => `${each.due}${each.due < DUE_COUNTED ? '' : ' or more'} of ${dispatchLabel(each)}`,
  );
  const waiting = unregisteredOf(await findWaitingKinds(database), keys).map(dispatchLabel);
  const lines: UnregisteredLine[] = [];
  if (due.length > 0)
    lines.push({
      code: 'unregistered-due',
      message: `worker: no workflow of this process can continue these due runs: ${listOf(due)}; client.health() lists them`,
    });
  if (waiting.length > 0)
    lines.push({
      code: 'unregistered-waiting',
      message: `worker: no workflow of this process could continue these waiting runs: ${listOf(waiting)}; client.health() lists them`,
    });
  return lines;
}

function listOf(kinds: readonly string[]): string {
  const more = kinds.length > MAX_SHOWN_KINDS ? ` and ${kinds.length - MAX_SHOWN_KINDS} more kinds` : '';
  return kinds.slice(0, MAX_SHOWN_KINDS).join(', ') + more;
}
