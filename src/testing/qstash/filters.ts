import { badRequest } from './api-error.js';
import type { Message } from './message.js';

/** What a list or a bulk action may be narrowed down by. */
export type Facts = Readonly<Record<string, string | readonly string[] | undefined>>;

/** Names in a query, and the fact that each asks for. */
const FILTERS: readonly (readonly [string, string])[] = [
  ...['messageId', 'dlqId', 'url', 'topicName', 'scheduleId', 'queueName', 'flowControlKey', 'label', 'callerIp'].map(same),
  ...['state', 'responseStatus', 'host', 'path'].map(same),
  ['messageIds', 'messageId'],
  ['dlqIds', 'dlqId'],
];

function same(name: string): readonly [string, string] {
  return [name, name];
}

export function factsOf({ messageId, url, scheduleId, queue, flow, labels, callerIp }: Message): Facts {
  const { host, pathname } = new URL(url);
  return { messageId, url, scheduleId, queueName: queue, flowControlKey: flow?.key, label: labels, callerIp, host, path: pathname };
}

/** One of the values of each name, and within the dates. */
export function matches(query: URLSearchParams, facts: Facts, time: number): boolean {
  const from = Number(query.get('fromDate') ?? Number.NEGATIVE_INFINITY);
  const to = Number(query.get('toDate') ?? Number.POSITIVE_INFINITY);
  if (time < from || time > to) return false;
  return FILTERS.every(([name, fact]) => {
    const wanted = query.getAll(name);
    const value = facts[fact];
    return wanted.length === 0 || [value].flat().some((one) => one !== undefined && wanted.includes(one));
  });
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Undefined on the last page. */
  readonly cursor: string | undefined;
}

/** As many as the query's `count`, from its `cursor` on. @throws ApiError */
export function pageOf<T>(items: readonly T[], query: URLSearchParams): Page<T> {
  const [count, from] = [numberOf(query, 'count', 100), numberOf(query, 'cursor', 0)];
  const end = from + count;
  return { items: items.slice(from, end), cursor: end < items.length ? String(end) : undefined };
}

/** @throws ApiError */
export function numberOf(query: URLSearchParams, name: string, otherwise: number): number {
  const text = query.get(name);
  if (text === null || text === '') return otherwise;
  if (!/^\d{1,15}$/.test(text)) throw badRequest(`invalid ${name}: ${text}`);
  return Number(text);
}
