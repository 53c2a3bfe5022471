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
  const shown = PROPERTIES.filter(([property, , frequency]) => frequency !== 'rare' || groupBy.includes(property));
  await printer.table(
    ['COUNT', ...shown.map(([, heading]) => heading), 'FIRST', 'LAST', 'EXAMPLE'],
    groups.map((group) => [
      [String(group.count), 'red'],
      ...shown.map(([property]) => textOf(group[property])),
      shortTime(group.firstAt),
      shortTime(group.lastAt),
      group.exampleRunId,
    ]),
  );
  return EXIT.ok;
};

/** Columns of the table. Rare ones are shown only if the groups have the property. */
const PROPERTIES: readonly (readonly [property: FailureGrouping, heading: string, frequency?: 'rare'])[] = [
  ['workflow', 'WORKFLOW'],
  ['version', 'VERSION', 'rare'],
  ['errorCode', 'ERROR'],
  ['failedStep', 'STEP'],
  ['hour', 'HOUR', 'rare'],
];

function textOf(value: string | number | Date | undefined): string {
  return value instanceof Date ? shortTime(value) : String(value ?? '');
}
