import type { Database } from '../database.js';

/** Largest number of runs that is counted. */
export const RUNS_COUNTED = 1_000;

/** Number of runs in a state that should not last, and the id of one of them. */
export interface StuckRuns {
  /** Number of runs, at most `RUNS_COUNTED`. */
  readonly count: number;
  readonly exampleRunId: string;
}

async function countStuck(database: Database, select: string, values: readonly unknown[]): Promise<StuckRuns | undefined> {
  const [row] = await database.read<[number, string | null]>(
    `SELECT count(*)::int, min(id) FROM (${select} LIMIT ${RUNS_COUNTED}) AS r`,
    values,
  );
  const [count, exampleRunId] = row!;
  return exampleRunId === null ? undefined : { count, exampleRunId };
}

/**
 * Counts running runs whose session does not exist. A takeover deletes a session and hands back its
 * runs in one transaction, so such runs are left only when the database refused to change them.
 */
export async function countOwnerless(database: Database): Promise<StuckRuns | undefined> {
  const { schema } = database;
  return countStuck(
    database,
    `SELECT r.id FROM ${schema}.workflow_runs r WHERE r.status = 'running'
  AND NOT EXISTS (SELECT 1 FROM ${schema}.workflow_sessions s WHERE s.id = r.session_id)`,
    [],
  );
}

/** Counts waiting runs whose wake time passed long ago. */
export async function countOversleeping(database: Database, olderThanMs: number): Promise<StuckRuns | undefined> {
  return countStuck(
    database,
    `SELECT r.id FROM ${database.schema}.workflow_runs r
WHERE r.status = 'waiting' AND NOT r.is_blocked AND r.wake_at < now() - $1::float8 * interval '1 millisecond'`,
    [olderThanMs],
  );
}

/** Counts runs without an owner whose deadline passed long ago. */
export async function countOverdue(database: Database, olderThanMs: number): Promise<StuckRuns | undefined> {
  return countStuck(
    database,
    `SELECT r.id FROM ${database.schema}.workflow_runs r
WHERE r.status IN ('pending', 'waiting') AND r.deadline_at < now() - $1::float8 * interval '1 millisecond'`,
    [olderThanMs],
  );
}

/** Tokens of bulk operations that have been started and are due for long. */
export async function findStalledOperations(database: Database, olderThanMs: number): Promise<string[]> {
  const rows = await database.read<[string]>(
    `SELECT token FROM ${database.schema}.workflow_operations
WHERE started_at IS NOT NULL AND finished_at IS NULL AND next_at < now() - $1::float8 * interval '1 millisecond' ORDER BY next_at LIMIT 10`,
    [olderThanMs],
  );
  return rows.map(([token]) => token);
}
