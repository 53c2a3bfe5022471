import { checkOptions } from '../../core/check-options.js';
import { InvalidInputError } from '../../core/errors/index.js';
import { checkText } from '../../core/ids.js';
import { readRunStatus } from '../../store/sql/read-runs.js';
import { readSteps } from '../../store/sql/read-steps.js';
import { checkLimit } from './cursor.js';
import { toStepDescription, type StepDescription } from './describe.js';
import { checkFollowing, type FollowOptions } from '../follow-options.js';
import { currentRunId, runNotFound } from '../follow.js';
import type { ClientDependencies } from '../dependencies.js';

/** Options that select recorded steps of a run. */
export interface StepsOptions extends FollowOptions {
  /**
   * Steps per page, from 1 to 10,000. A page ends early at 64 MiB of results. Without `limit`, a
   * run with more than 10,000 steps or 64 MiB of results causes an error. (default: all steps)
   */
  limit?: number | undefined;
  /**
   * `seq` of the last step of the previous page. Returns only steps after this one. (default: 0)
   */
  after?: number | undefined;
}

const MAX_STEPS = 10_000;
const MAX_BYTES = 64 << 20;
const MAX_SEQ = 2_147_483_647;

/**
 * Reads the recorded steps of a run.
 *
 * @throws InvalidInputError, RunNotFoundError
 * @internal
 */
export async function stepsOf(
  { database, payloads }: Pick<ClientDependencies, 'database' | 'payloads'>,
  runId: string,
  options: StepsOptions,
): Promise<StepDescription[]> {
  const { limit, after = 0, follow } = checkOptions(options, 'options', ['limit', 'after', 'follow']);
  const named = checkText(runId, 'runId');
  const following = { follow: checkFollowing(follow) };
  const size = checkLimit(limit, 'options.limit', MAX_STEPS, MAX_STEPS);
  checkSeq(after, 'options.after');
  const id = await currentRunId(database, named, following);
  const steps = await readSteps(database, id, { after, limit: size, bytes: MAX_BYTES });
  if (steps.length === 0 && (await readRunStatus(database, id)) === undefined) throw await runNotFound(database, id);
  const last = steps.at(-1);
  if (limit === undefined && last && (await readSteps(database, id, { after: last.seq, limit: 1, bytes: 1 })).length > 0) {
    throw new InvalidInputError('options.limit', `is needed: run "${id}" has more steps than one call returns; read them in pages`);
  }
  return steps.map((step) => toStepDescription(step, payloads));
}

function checkSeq(value: unknown, argument: string): void {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MAX_SEQ) return;
  throw new InvalidInputError(argument, `must be a whole number from 0 to ${MAX_SEQ}`);
}
