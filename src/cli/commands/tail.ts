import { usageError } from '../errors.js';
import { filterOf, hasFilter } from '../filters.js';
import type { Action } from '../action.js';
import { tailRun } from '../tail-run.js';
import { tailRuns } from '../tail-runs.js';

/** Follows all runs, or the timeline of one. */
export const tail: Action = async (context) => {
  const { given } = context;
  const [runId] = given.positionals;
  if (runId === undefined) return tailRuns(context, await context.connect());
  if (hasFilter(filterOf(given, Date.now())) || given.has('since')) throw usageError('give either a RUN or a filter, not both');
  return tailRun(context, await context.connect(), runId);
};
