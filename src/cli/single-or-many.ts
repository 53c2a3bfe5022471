import { usageError } from './errors.js';
import { changeMany, type BulkKind } from './bulk.js';
import type { Connection } from './connection.js';
import type { ExitCode } from './exit-codes.js';
import { filterOf, hasFilter } from './filters.js';
import type { CommandContext } from './action.js';

/** Options that make sense with a filter only. */
const MANY_ONLY = ['rate', 'detach'];

/**
 * Changes the run that the user names, or all runs of the filter.
 *
 * @param single changes one run
 * @throws CommandError when the user names neither, or both
 */
export async function singleOrMany(
  context: CommandContext,
  kind: BulkKind,
  single: (runId: string, connection: Connection) => Promise<ExitCode>,
): Promise<ExitCode> {
  const { given } = context;
  const [runId] = given.positionals;
  const isFiltered = hasFilter(filterOf(given, Date.now()));
  if (runId === undefined && !isFiltered) throw usageError('name a RUN, or give a filter such as --name');
  if (runId !== undefined && isFiltered) throw usageError('give either a RUN or a filter, not both');
  if (runId !== undefined) {
    const surplus = MANY_ONLY.find((option) => given.has(option));
    if (surplus !== undefined) throw usageError(`--${surplus} needs a filter instead of a RUN`);
    return single(runId, await context.connect());
  }
  const connection = await context.connect();
  return changeMany(context, connection, filterOf(given, connection.clock.now()), kind);
}
