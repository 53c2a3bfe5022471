import { sleep } from '../core/timers.js';
import type { Database } from '../store/database.js';
import { hasUnfinishedRuns, readHome, recordHome, type Home } from '../store/sql/home.js';

const CHECK_AGAIN_MS = 2_000;
/** Number of checks between two error messages. */
const REPORT_EVERY = 30;

/**
 * Checks that this process may execute the runs in the database. A copy of a database (a restored
 * dump, a template) contains the runs of the original. Executing them would do the work of the
 * original a second time. The first process records which server and database the runs belong to.
 *
 * @returns the reason why the process may not execute the runs; undefined when it may
 */
export async function findForeignHome(database: Database, environment: string | undefined): Promise<string | undefined> {
  const { here, recorded } = await readHome(database);
  const label = environment ?? null;
  if (!recorded) {
    await recordHome(database, here, label, undefined);
    return undefined;
  }
  if (recorded.environment !== null && recorded.environment !== label) {
    const mine = label === null ? 'this process names no environment' : `this process is of "${label}"`;
    return `the database belongs to the environment "${recorded.environment}", and ${mine}`;
  }
  const isLabelled = label !== null && recorded.environment === label;
  const isHome = isSameHome(here, recorded);
  if (isHome && recorded.environment === label) return undefined;
  if (!isHome && !isLabelled && (await hasUnfinishedRuns(database))) {
    return 'the database is a copy of the one that its runs belong to (restored, upgraded, or made from a template)';
  }
  await recordHome(database, here, label, recorded);
  return undefined;
}

/** True when two locations are the same, as far as the role may read them. */
export function isSameHome(here: Home, there: Home): boolean {
  const isSameCluster =
    here.systemIdentifier === null || there.systemIdentifier === null || here.systemIdentifier === there.systemIdentifier;
  return isSameCluster && here.databaseOid === there.databaseOid;
}

/**
 * Waits until the process may execute the runs: an operator must confirm that this database is the
 * original.
 *
 * @param check checks again. Returns the reason why the process may not execute the runs; undefined
 *   when it may
 * @param stopped returns true when the process no longer wants to execute runs
 * @param report called with the reason at once, and then once a minute
 * @returns false when the process stopped before it was allowed to execute the runs
 */
export async function whenHome(
  check: () => Promise<string | undefined>,
  reason: string,
  stopped: () => boolean,
  report: (reason: string) => void,
): Promise<boolean> {
  let current: string | undefined = reason;
  for (let checks = 0; current !== undefined; checks++) {
    if (checks % REPORT_EVERY === 0) report(current);
    await sleep(CHECK_AGAIN_MS, undefined, { ref: false });
    if (stopped()) return false;
    current = await check().catch(() => current);
  }
  return true;
}

/** Returns the log line with the reason and with what the operator can do. */
export function foreignHomeLine(reason: string, schema: string): string {
  return `worker: executes no run here: ${reason}. ${foreignHomeRemedy(schema)}`;
}

/** Returns the sentences that say what the operator of a copy can do. */
export function foreignHomeRemedy(schema: string): string {
  return (
    `If these runs are to go on here and nowhere else, say so: DELETE FROM ${schema}.workflow_home. ` +
    'See docs/operations.md, "Copies of a database"'
  );
}
