import type { Database } from '../database.js';

/**
 * Counts the runs that each session owns. Reads only running runs, through their index.
 *
 * @returns the number of runs by the session's id
 * @throws QueryTimeoutError when the query takes too long
 */
export async function countOwnedRuns(database: Database): Promise<Map<string, number>> {
  const rows = await database.read<[string, number]>(
    `SELECT session_id::text, count(*)::int FROM ${database.schema}.workflow_runs WHERE status = 'running' GROUP BY session_id`,
    [],
  );
  return new Map(rows);
}
