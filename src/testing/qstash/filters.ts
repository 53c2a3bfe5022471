import { badRequest } from './api-error.js';
import type { Message } from './message.js';

/** Fields of an item by which a query can filter a list or a bulk action. */
export type FilterFields = Readonly<Record<string, string | readonly string[] | undefined>>;

/** Names of query parameters, each with the name of the field that it filters. */
const FILTERS: readonly (readonly [string, string])[] = [
  ...['messageId', 'dlqId', 'url', 'topicName', 'scheduleId', 'queueName', 'flowControlKey', 'label', 'callerIp'].map(same),
  ...['state', 'responseStatus', 'host', 'path'].map(same),
  ['messageIds', 'messageId'],
  ['dlqIds', 'dlqId'],
];

function same(name: string): readonly [string, string] {
  return [name, name];
}

export function fieldsOf({ messageId, url, scheduleId, queue, flow, labels, callerIp }: Message): FilterFields {
  const { host, pathname } = new URL(url);
  return { messageId, url, scheduleId, queueName: queue, flowControlKey: flow?.key, label: labels, callerIp, host, path: pathname };
}

/**
 * Returns true when each filtered field has one of the requested values, and the time is between
 * the requested dates.
 */
export function matches(query: URLSearchParams, fields: FilterFields, time: number): boolean {
  const from = Number(query.get('fromDate') ?? Number.NEGATIVE_INFINITY);
  const to = Number(query.get('toDate') ?? Number.POSITIVE_INFINITY);
  if (time < from || time > to) return false;
  return FILTERS.every(([name, field]) => {
    const requested = query.getAll(name);
    const value = fields[field];
    return requested.length === 0 || [value].flat().some((one) => one !== undefined && requested.includes(one));
  });
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Position at which the next page begins; undefined on the last page. */
  readonly cursor: string | undefined;
}

/**
 * Returns the page that begins at the position `cursor` of the query and has up to `count` items.
 *
 * @throws ApiError when the query is invalid
 */
export function pageOf<T>(items: readonly T[], query: URLSearchParams): Page<T> {
  const [count, from] = [numberOf(query, 'count', 100), numberOf(query, 'cursor', 0)];
  const end = from + count;
  return { items: items.slice(from, end), cursor: end < items.length ? String(end) : undefined };
}

/**
 * Returns the number in a parameter of the query, or `fallback` when the parameter is missing.
 *
 * @throws ApiError when the text is not a number
 */
export function numberOf(query: URLSearchParams, name: string, fallback: number): number {
  const text = query.get(name);
  if (text === null || text === '') return fallback;
  if (!/^\d{1,15}$/.test(text)) throw badRequest(`invalid ${name}: ${text}`);
  return Number(text);
}
