import { checkOptions } from '../../core/check-options.js';
import { InvalidInputError } from '../../core/errors/index.js';
import { checkText } from '../../core/ids.js';
import { readRunStatus } from '../../store/sql/read-runs.js';
import { readSteps } from '../../store/sql/read-steps.js';
import { toStepDescription, type StepDescription } from './describe.js';
import { checkFollowing, currentRunId, runNotFound, type FollowOptions } from '../follow.js';
import type { ClientDependencies } from '../dependencies.js';

/** Which recorded steps of a run are read. */
export interface StepsOptions extends FollowOptions {
  /** How many steps at most, from 1 to 10,000. Absent: all, or an error where there are more than that or more than 64 MiB of results. */
  limit?: number | undefined;
  /** Steps up to this `seq` are left out: that of the last step of the page before. Default 0. */
  after?: number | undefined;
}

const MAX_STEPS = 10_000;
const MAX_BYTES = 64 << 20;

/** @throws InvalidInputError, RunNotFoundError @internal */
export async function stepsOf(
  { database, payloads }: ClientDependencies,
  runId: string,
  options: StepsOptions,
): Promise<StepDescription[]> {
  const { limit, after = 0, follow } = checkOptions(options, 'options', ['limit', 'after', 'follow']);
  const named = checkText(runId, 'runId');
  const following = { follow: checkFollowing(follow) };
  checkNumber(limit ?? MAX_STEPS, 'options.limit', 1, MAX_STEPS);
  checkNumber(after, 'options.after', 0, 2_147_483_647);
  const id = await currentRunId(database, named, following);
  const steps = await readSteps(database, id, { after, limit: limit ?? MAX_STEPS, bytes: MAX_BYTES });
  if (steps.length === 0 && (await readRunStatus(database, id)) === undefined) throw await runNotFound(database, id);
  const last = steps.at(-1);
  if (limit === undefined && last && (await readSteps(database, id, { after: last.seq, limit: 1, bytes: 1 })).length > 0) {
    throw new InvalidInputError('options.limit', `is needed: run "${id}" has more steps than one call returns; read them in pages`);
  }
  return steps.map((step) => toStepDescription(step, payloads));
}

function checkNumber(value: unknown, argument: string, least: number, most: number): void {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return;
  throw new InvalidInputError(argument, `must be a whole number from ${least} to ${most}`);
}
