import type { FailuresOptions, ListOptions, RunFilter } from 'nestjs-durable';
import { customersOf, parentId } from './list-rows.js';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** The runs that a query is made for. */
export interface Listed {
  readonly runs: number;
  /** Time of the newest run, in milliseconds since the epoch. */
  readonly end: number;
  /** Cursor of a page in the middle of all runs. */
  readonly middle: string | undefined;
}

/** A query of a row, whose values differ from sample to sample where the filter allows it. */
export interface ListQuery<T> {
  /** Key of the query in the JSON. */
  readonly key: string;
  readonly label: string;
  readonly make: (listed: Listed, sample: number) => T;
}

const query = <T>(key: string, label: string, make: ListQuery<T>['make']): ListQuery<T> => ({ key, label, make });

const hourAgo = ({ end }: Listed): Date => new Date(end - HOUR);
/** The beginning and the end of an hour, 20 days before the newest run; later for later samples. */
const oldHour = ({ end }: Listed, sample: number): [Date, Date] => {
  const from = end - 20 * DAY + sample * HOUR;
  return [new Date(from), new Date(from + HOUR)];
};
const customer = ({ runs }: Listed, sample: number): string => String((sample * 617) % customersOf(runs));

/** Filters that `list` and `count` have in common. */
const FILTERS: readonly ListQuery<RunFilter>[] = [
  query('all', 'no filter', () => ({})),
  query('name', 'name of a third of the runs', () => ({ name: 'order' })),
  query('names', 'two names', () => ({ name: ['order', 'invoice'] })),
  query('rareName', 'name of the ten oldest runs', () => ({ name: 'rare' })),
  query('version', 'version of nine tenths', () => ({ version: 2 })),
  query('oldVersion', 'version of the oldest tenth', () => ({ version: 1 })),
  query('completed', 'status completed', () => ({ status: 'completed' })),
  query('failed', 'status failed', () => ({ status: 'failed' })),
  query('waiting', 'status waiting', () => ({ status: 'waiting' })),
  query('cancelled', 'status cancelled', () => ({ status: 'cancelled' })),
  query('continued', 'status continued', () => ({ status: 'continued' })),
  query('paused', 'status paused, which no run has', () => ({ status: 'paused' })),
  query('unfinished', 'status pending or running, and a queue', () => ({ status: ['pending', 'running'], queue: 'default' })),
  query('queue', 'queue of a tenth', () => ({ queue: 'slow' })),
  query('rareQueue', 'queue of the ten oldest runs', () => ({ queue: 'rare' })),
  query('blocked', 'blocked: true, 20 runs', () => ({ blocked: true })),
  query('notBlocked', 'blocked: false', () => ({ blocked: false })),
  query('parent', 'parent with 40 children', ({ runs }, sample) => ({ parentRunId: parentId(1 + ((sample * 617) % (runs / 400 - 1))) })),
  query('noParent', 'no parent', () => ({ parentRunId: null })),
  query('rareTag', 'tag of 40 runs', (listed, sample) => ({ tags: { customer: customer(listed, sample) } })),
  query('commonTag', 'tag of a third', () => ({ tags: { region: 'us' } })),
  query('bothTags', 'both tags', (listed, sample) => ({ tags: { customer: customer(listed, sample), region: 'us' } })),
  query('errorCode', 'error code of half of the failures', () => ({ errorCode: 'CARD_DECLINED' })),
  query('rareErrorCode', 'error code of ten old failures', () => ({ errorCode: 'RARE' })),
  query('failedStep', 'failed step of a third of the failures', () => ({ failedStep: 'charge' })),
  query('createdLastHour', 'created in the last hour', (listed) => ({ createdAfter: hourAgo(listed) })),
  query('createdOldHour', 'created in an hour 20 days ago', (listed, sample) => {
    const [createdAfter, createdBefore] = oldHour(listed, sample);
    return { createdAfter, createdBefore };
  }),
  query('finishedLastHour', 'finished in the last hour', (listed) => ({ finishedAfter: hourAgo(listed) })),
  query('finishedOldHour', 'finished in an hour 20 days ago', (listed, sample) => {
    const [finishedAfter, finishedBefore] = oldHour(listed, sample);
    return { finishedAfter, finishedBefore };
  }),
  query('failedForCustomer', 'name, status and tag', (listed, sample) => ({
    name: ['order', 'invoice'],
    status: 'failed',
    tags: { customer: customer(listed, sample) },
  })),
  query('recentError', 'error code, failed step, finished in the last day', ({ end }) => ({
    errorCode: 'CARD_DECLINED',
    failedStep: 'charge',
    finishedAfter: new Date(end - DAY),
  })),
];

/** Queries of `client.list`. */
export const LISTS: readonly ListQuery<ListOptions>[] = [
  ...FILTERS,
  query('middle', 'no filter, a page from the middle', ({ middle }) => ({ cursor: middle })),
  query('largePage', 'no filter, 1,000 runs a page', () => ({ limit: 1_000 })),
];

/** Queries of `client.count`. */
export const COUNTS = FILTERS;

/** Queries of `client.failures`. */
export const FAILURES: readonly ListQuery<FailuresOptions>[] = [
  query('hour', 'an hour by workflow', () => ({ since: '1h', groupBy: 'workflow' })),
  query('day', 'a day by workflow and error code', () => ({ since: '1 day', groupBy: ['workflow', 'errorCode'] })),
  query('month', '30 days by three keys', () => ({ since: '30 days', groupBy: ['workflow', 'errorCode', 'failedStep'] })),
];
