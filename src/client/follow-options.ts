// Public types must not need the types of pg, as follow.ts does.
import { checkOptions } from '../core/check-options.js';
import { InvalidInputError } from '../core/errors/index.js';

/**
 * Choice of the run in a chain. `ctx.continueAsNew` ends a run and starts the next run of the
 * chain.
 */
export interface FollowOptions {
  /**
   * `true` (default) selects the current run of the chain, for the id of any of its runs. `false`
   * selects the run with exactly this id. Its status is `continued` where another run continues it.
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
