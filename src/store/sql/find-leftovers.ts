import type { Database } from '../database.js';
import { RUN_TABLES } from './leftovers.js';

/** Rows of runs that do not exist. */
export interface Leftovers {
  readonly table: string;
  /** Number of rows, at most `LEFTOVERS_COUNTED`. */
  readonly count: number;
  readonly exampleRunId: string;
}

/** Largest number of rows that is counted per table. */
export const LEFTOVERS_COUNTED = 1_000;

/** Tables that may hold rows of runs that somebody has deleted by hand. */
export const LEFTOVER_TABLES: readonly string[] = RUN_TABLES;

/**
 * Counts the rows of a table whose run does not exist. Without such rows, reads the whole table.
 *
 * @throws QueryTimeoutError when the table is too large to be read within 15 seconds
 */
export async function findLeftovers(database: Database, table: string): Promise<Leftovers | undefined> {
  const { schema } = database;
  const [row] = await database.read<[number, string | null]>(
    `SELECT count(*)::int, min(run_id) FROM (
  SELECT t.run_id FROM ${schema}.${table} t WHERE NOT EXISTS (SELECT 1 FROM ${schema}.workflow_runs r WHERE r.id = t.run_id) LIMIT ${LEFTOVERS_COUNTED}
) AS x`,
    [],
  );
  const [count, exampleRunId] = row!;
  return exampleRunId === null ? undefined : { table, count, exampleRunId };
}
