import { checkOptions } from '../core/check-options.js';
import { InvalidInputError, RunEndedError, RunNotFoundError } from '../core/errors/index.js';
import type { Database } from '../store/database.js';
import { findMissingLinks, readCurrentRun } from '../store/sql/chains.js';

/** Which run of a chain is meant: `ctx.continueAsNew` ends a run and begins the next one in its place. */
export interface FollowOptions {
  /**
   * `true`, the default: the current run of the chain, whichever of its ids is given. `false`: the
   * run that has this id, whose status is `continued` where another one goes on in its place.
   */
  follow?: boolean | undefined;
}

/** @throws InvalidInputError */
export function checkFollow(options: FollowOptions): FollowOptions {
  const { follow } = checkOptions(options, 'options', ['follow']);
  return { follow: checkFollowing(follow) };
}

/** @throws InvalidInputError */
export function checkFollowing(follow: unknown): boolean {
  if (follow !== undefined && typeof follow !== 'boolean') throw new InvalidInputError('options.follow', 'must be true or false');
  return follow !== false;
}

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

/** The error for a run that was not found. Names the deleted run where a chain of continued runs has lost its last one. */
export async function runNotFound(database: Database, runId: string): Promise<RunNotFoundError> {
  return new RunNotFoundError(runId, (await findMissingLinks(database, [runId])).get(runId));
}
