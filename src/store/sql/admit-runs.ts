import type { DueRun } from '../../core/run.js';
import type { Database, Statement } from '../database.js';

/** Largest number of runs that one statement admits. */
const MOST_RUNS = 500;

/**
 * Gives places to runs. The commit does not wait for the disk: a claim of an admitted run waits,
 * and its commit covers this one. A crash of the server can only lose admissions of unclaimed runs.
 */
const ADMIT: Statement = {
  name: 'durable_admit',
  text: (schema, lockTimeout) =>
    `SELECT id, name, version, more_ms FROM ${schema}.workflow_admit($1, $2::text[], ${MOST_RUNS}, $3)
WHERE set_config('synchronous_commit', 'off', true) IS NOT NULL${lockTimeout}`,
};

/** Runs that got a place, and when more runs can get one. */
export interface Admission {
  readonly runs: readonly DueRun[];
  /** Milliseconds until the queue can admit more runs, as far as a rate limit tells. */
  readonly moreMs: number | undefined;
}

/**
 * Gives free places of a queue to the runs that wait for them.
 *
 * @param keys keys with a new run or a free place; undefined when all keys may have one
 * @param aheadMs how long before its slot of a rate limit a run is admitted
 */
export async function admitRuns(
  database: Database,
  queue: string,
  keys: readonly string[] | undefined,
  aheadMs: number,
): Promise<Admission> {
  const rows = await database.query<[string | null, string, number, number | null]>(ADMIT, [queue, keys ?? null, aheadMs]);
  const runs: DueRun[] = [];
  let moreMs: number | undefined;
  for (const [id, name, version, more] of rows) {
    if (id === null) moreMs = more ?? undefined;
    else runs.push({ id, queue, name, version, isAdmitted: true });
  }
  return { runs, moreMs };
}
