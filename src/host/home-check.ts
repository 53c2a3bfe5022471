import { sleep } from '../core/timers.js';
import type { Database } from '../store/database.js';
import { hasUnfinishedRuns, readHome, recordHome, type Home } from '../store/sql/home.js';

const LOOK_AGAIN_MS = 2_000;
/** Looks between two error messages. */
const REPORT_EVERY = 30;

/**
 * Finds out whether this process may execute the runs of the database. A copy of a database (a
 * restored dump, a template) has the runs of the original: whoever executes them does their work a
 * second time. Records where the database is when nobody has yet.
 *
 * @returns why the process may not; undefined when it may
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
  const isHome = isSame(here, recorded);
  if (isHome && recorded.environment === label) return undefined;
  if (!isHome && !isLabelled && (await hasUnfinishedRuns(database))) {
    return 'the database is a copy of the one that its runs belong to (restored, upgraded, or made from a template)';
  }
  await recordHome(database, here, label, recorded);
  return undefined;
}

function isSame(here: Home, there: Home): boolean {
  const isSameCluster =
    here.systemIdentifier === null || there.systemIdentifier === null || here.systemIdentifier === there.systemIdentifier;
  return isSameCluster && here.databaseOid === there.databaseOid;
}

/**
 * Waits until the process may execute the runs: somebody has said that the database is the real
 * one.
 *
 * @param stopped the process no longer wants to
 * @param report is told why it may not, at once and then each minute
 */
export async function whenHome(
  look: () => Promise<string | undefined>,
  reason: string,
  stopped: () => boolean,
  report: (reason: string) => void,
): Promise<boolean> {
  let current: string | undefined = reason;
  for (let looks = 0; current !== undefined; looks++) {
    if (looks % REPORT_EVERY === 0) report(current);
    await sleep(LOOK_AGAIN_MS, undefined, { ref: false });
    if (stopped()) return false;
    current = await look().catch(() => current);
  }
  return true;
}

/** What to say of it, and what to do about it. */
export function foreignHomeLine(reason: string, schema: string): string {
  return (
    `No run is executed here: ${reason}. If these runs are to go on here and nowhere else, say so: DELETE FROM ${schema}.workflow_home. ` +
    'See docs/operations.md, "Copies of a database"'
  );
}
