import { searchPage, type SearchPage } from '../../client/queries/listing.js';
import { checkRunFilter } from '../../client/queries/run-filter.js';
import { countActiveRuns, countRecentRuns, RECENT_RUNS, type ActiveCounts } from '../../store/sql/recent-runs.js';
import { FILTER_PARAMETERS, filterOf, numberOf } from './parameters.js';
import type { Route } from './route.js';

/** Numbers of runs by status. */
export interface RunCounts {
  /** Runs that match the filter, by status, among the newest `newest` runs. */
  readonly counts: Readonly<Partial<Record<string, number>>>;
  readonly newest: number;
  /** True when there are no older runs. */
  readonly isComplete: boolean;
  /** Runs in the states that operators watch. 1,000 stands for 1,000 or more. */
  readonly active: ActiveCounts;
}

export const runRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: 'runs',
    summary:
      'Lists runs, newest first. Reads a limited number of runs when no index selects them: `searchedTo` then says how far, ' +
      'and `cursor` continues there.',
    query: {
      ...FILTER_PARAMETERS,
      cursor: 'The `cursor` of the previous page.',
      limit: 'Runs per page, from 1 to 1,000 (default: 50).',
    },
    answer: ({ query, reader, now }): Promise<SearchPage> =>
      searchPage(reader, {
        ...filterOf(query, now(), ['cursor', 'limit']),
        cursor: query.get('cursor') ?? undefined,
        limit: numberOf(query, 'limit'),
      }),
  },
  {
    method: 'GET',
    path: 'counts',
    summary: 'Counts the runs of a filter by status, among the newest 10,000 runs.',
    query: FILTER_PARAMETERS,
    answer: async ({ query, reader, database, now }): Promise<RunCounts> => {
      const { status: _, ...conditions } = checkRunFilter(filterOf(query, now()), 'filter', 'left out');
      const [{ counts, isComplete }, active] = await Promise.all([countRecentRuns(reader, conditions), countActiveRuns(database)]);
      const byStatus = Object.fromEntries(counts.map(({ status, count }) => [status, count]));
      return { counts: byStatus, newest: RECENT_RUNS, isComplete, active };
    },
  },
];
