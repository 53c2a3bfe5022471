import { RunEndedError } from '../core/errors/index.js';
import type { Database } from '../store/database.js';
import { readCurrentRun } from '../store/sql/chains.js';
import type { FollowOptions } from './follow-options.js';
import { runNotFound } from './run-not-found.js';

/** How often a request goes after a run that is continued while it is on its way. */
const MAX_TRIES = 5;

/**
 * The id of the run that goes on in the place of this one, most often its own. With `follow: false`, the id that was given.
 *
 * @throws RunNotFoundError when no run has the id, or the last run of its chain has been deleted
 */
export async function currentRunId(database: Database, runId: string, { follow }: FollowOptions): Promise<string> {
  if (follow === false) return runId;
  const current = await readCurrentRun(database, runId);
  if (current === undefined) throw await runNotFound(database, runId);
  return current;
}

/** Does something to the current run of a chain; once more where that run is continued in between. */
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
