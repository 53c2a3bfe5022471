import { checkOptions } from '../core/check-options.js';
import { InvalidInputError } from '../core/errors/index.js';

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
