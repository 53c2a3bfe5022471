import type { FailureGrouping } from '../../client/queries/listing.js';
import { EXIT } from '../exit-codes.js';
import { timeOf } from '../filters.js';
import type { Action } from '../action.js';
import { shortTime } from '../times.js';

const DAY_MS = 86_400_000;

/** Counts failed runs in groups. */
export const failures: Action = async ({ given, printer, connect }) => {
  const limit = given.number('limit');
  const groupBy = (given.text('by') ?? 'workflow,errorCode,failedStep').split(',').map((each) => each.trim()) as FailureGrouping[];
  const { client, clock } = await connect();
  const since = timeOf(given, 'since', clock.now()) ?? new Date(clock.now() - DAY_MS);
  const groups = await client.failures({ since, groupBy, limit });
  if (printer.isJson) {
    await printer.document({ since, groups });
    return EXIT.ok;
  }
  await printer.table(
    ['COUNT', 'WORKFLOW', 'ERROR', 'STEP', 'FIRST', 'LAST', 'EXAMPLE'],
    groups.map((group) => [
      [String(group.count), 'red'],
      group.workflow ?? '',
      group.errorCode ?? '',
      group.failedStep ?? '',
      shortTime(group.firstAt),
      shortTime(group.lastAt),
      group.exampleRunId,
    ]),
  );
  return EXIT.ok;
};
