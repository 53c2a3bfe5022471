import { unregisteredOf } from '../client/health.js';
import { ANY_VERSION, type DispatchKey } from '../core/run.js';
import type { Database } from '../store/database.js';
import { DUE_COUNTED, findDueRuns, findWaitingKinds } from '../store/sql/health.js';

const SHOWN = 10;

/**
 * Says which runs wait for a class that is no longer among the providers, most likely; they may also be another process's business.
 *
 * @returns lines for the log
 */
export async function describeUnregistered(database: Database, keys: readonly DispatchKey[]): Promise<string[]> {
  const due = unregisteredOf(await findDueRuns(database), keys).map(
    (each) => `${each.due}${each.due < DUE_COUNTED ? '' : ' or more'} of ${labelOf(each)}`,
  );
  const waiting = unregisteredOf(await findWaitingKinds(database), keys).map(labelOf);
  const lines: string[] = [];
  if (due.length > 0)
    lines.push(`runs are due that nothing registered in this process can continue: ${listOf(due)}; client.health() lists them`);
  if (waiting.length > 0)
    lines.push(`runs wait that nothing registered in this process could continue: ${listOf(waiting)}; client.health() lists them`);
  return lines;
}

function labelOf({ queue, name, version }: DispatchKey): string {
  return `${version === ANY_VERSION ? `"${name}"` : `"${name}" version ${version}`} in queue "${queue}"`;
}

function listOf(kinds: readonly string[]): string {
  const more = kinds.length > SHOWN ? ` and ${kinds.length - SHOWN} more kinds` : '';
  return kinds.slice(0, SHOWN).join(', ') + more;
}
