import { RunEndedError, RunNotFoundError } from '../core/errors/index.js';
import type { Database } from '../store/database.js';
import { findMissingLinks, readCurrentRun } from '../store/sql/chains.js';
import type { FollowOptions } from './follow-options.js';

/**
 * Maximum number of attempts of a request to a chain. When another run continues the addressed run
 * during an attempt, the next attempt addresses that other run.
 */
const MAX_TRIES = 5;

/**
 * Returns the id of the current run of the chain. Usually this is the given run itself. With
 * `follow: false`, returns the given id without a query.
 *
 * @throws RunNotFoundError when no run has the id, or the last run of its chain was deleted
 */
export async function currentRunId(database: Database, runId: string, { follow }: FollowOptions): Promise<string> {
  if (follow === false) return runId;
  const current = await readCurrentRun(database, runId);
  if (current === undefined) throw await runNotFound(database, runId);
  return current;
}

/**
 * Calls `work` with the id of a chain's current run. When another run continues that run in the
 * meantime, calls `work` again with the id of the other run.
 */
export async function onCurrentRun<T>(database: Database, runId: string, work: (runId: string) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    const id = await currentRunId(database, runId, {});
    try {
      return await work(id);
    } catch (error) {
      if (!(error instanceof RunEndedError) || tries === MAX_TRIES || (await currentRunId(database, id, {})) === id) throw error;
    }
  }
}

/**
 * Creates the error for a run that was not found. If the run belongs to a chain whose last run was
 * deleted, the error names the deleted run.
 */
export async function runNotFound(database: Database, runId: string): Promise<RunNotFoundError> {
  return new RunNotFoundError(runId, (await findMissingLinks(database, [runId])).get(runId));
}
