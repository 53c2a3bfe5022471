// These types are public, and an application may compile them without the types of pg. An import
// from follow.ts would need the types of pg.
import { checkOptions } from '../core/check-options.js';
import { InvalidInputError } from '../core/errors/index.js';

/**
 * Choice between the runs of a chain. `ctx.continueAsNew` ends a run and starts the next run of its
 * chain.
 */
export interface FollowOptions {
  /**
   * `true` selects the current run of the chain, even if the id belongs to an earlier run. `false`
   * selects the run with exactly this id. Its status is `continued` when another run continues it.
   * (default: `true`)
   */
  follow?: boolean | undefined;
}

/**
 * Checks the options of a call, and sets `follow` when it is absent.
 *
 * @throws InvalidInputError when `follow` is not a boolean
 */
export function checkFollow(options: FollowOptions): FollowOptions {
  const { follow } = checkOptions(options, 'options', ['follow']);
  return { follow: checkFollowing(follow) };
}

/**
 * Checks a value of `follow`. Returns true when the value is absent.
 *
 * @throws InvalidInputError when the value is not a boolean
 */
export function checkFollowing(follow: unknown): boolean {
  if (follow !== undefined && typeof follow !== 'boolean') throw new InvalidInputError('options.follow', 'must be true or false');
  return follow !== false;
}
