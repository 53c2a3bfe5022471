import type { RunFilter } from '../../client/queries/run-filter.js';
import { parseDuration } from '../../core/duration.js';
import { InvalidInputError } from '../../core/errors/index.js';
import type { ShownStatus } from '../../core/run.js';

/** Parameters that select runs, for the OpenAPI document. */
export const FILTER_PARAMETERS: Readonly<Record<string, string>> = {
  name: 'Name of the workflow. May be repeated.',
  version: 'Version of the workflow. May be repeated.',
  status: 'Status of the run. May be repeated.',
  queue: 'Queue of the run. May be repeated.',
  tag: 'Tag as key=value. May be repeated; a run must have all of them.',
  errorCode: 'Error code of failed runs. May be repeated. An empty text selects failed runs whose error has no code.',
  failedStep: 'Name of the step that made a run fail. May be repeated. An empty text selects runs that failed outside a step.',
  parentRunId: 'Id of the parent run.',
  schedule: 'Name of the schedule that started the run.',
  blocked: '`true` for runs that wait for another deployment, `false` for all others.',
  createdAfter: 'Time such as 2026-03-01T12:00Z, or a duration before now such as 2h.',
  createdBefore: 'As createdAfter.',
  finishedAfter: 'As createdAfter.',
  finishedBefore: 'As createdAfter.',
};

const TIMES = ['createdAfter', 'createdBefore', 'finishedAfter', 'finishedBefore'] as const;
const LISTS = ['name', 'queue'] as const;
const FAILURES = ['errorCode', 'failedStep'] as const;

/**
 * Builds the filter that the parameters of a query describe. The client checks the values.
 *
 * @param query parameters, each of which is named in `FILTER_PARAMETERS` or `others`
 * @throws InvalidInputError when a parameter is unknown or cannot be read
 */
export function filterOf(query: URLSearchParams, now: number, others: readonly string[] = []): RunFilter {
  checkNames(query, [...Object.keys(FILTER_PARAMETERS), ...others]);
  const filter: RunFilter = {};
  for (const key of LISTS) {
    const values = query.getAll(key);
    if (values.length > 0) filter[key] = values;
  }
  for (const key of FAILURES) {
    const values = query.getAll(key);
    if (values.length > 0) filter[key] = values.length === 1 && values[0] === '' ? null : values;
  }
  const versions = query.getAll('version');
  if (versions.length > 0) filter.version = versions.map((text) => wholeNumber(text, 'version'));
  const statuses = query.getAll('status');
  if (statuses.length > 0) filter.status = statuses as ShownStatus[];
  const blocked = query.get('blocked');
  if (blocked !== null) filter.blocked = blocked === 'true' ? true : blocked === 'false' ? false : refuse('blocked', 'true or false');
  const parent = query.get('parentRunId');
  if (parent !== null) filter.parentRunId = parent;
  const schedule = query.get('schedule');
  if (schedule !== null) filter.schedule = schedule;
  const tags = query.getAll('tag');
  if (tags.length > 0) filter.tags = tagsOf(tags);
  for (const key of TIMES) {
    const text = query.get(key);
    if (text !== null) filter[key] = timeOf(text, key, now);
  }
  return filter;
}

/** Refuses parameters that are not known, so that a misspelt one does not select all runs. */
export function checkNames(query: URLSearchParams, known: readonly string[]): void {
  for (const name of query.keys()) if (!known.includes(name)) throw new InvalidInputError(name.slice(0, 100), 'is not a parameter');
}

/** Reads a whole number; undefined when the parameter is absent. */
export function numberOf(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  return text === null ? undefined : wholeNumber(text, name);
}

/** Reads a time: ISO 8601, or a duration before now. Months are not a unit. */
export function timeOf(text: string, name: string, now: number): Date {
  const isIso = /^\d{4}-\d\d/.test(text);
  const ms = isIso ? Date.parse(text) : now - durationOf(text, name);
  if (Number.isNaN(ms)) throw new InvalidInputError(name, 'must be a time such as 2026-03-01T12:00Z, or 2h for two hours ago');
  return new Date(ms);
}

function durationOf(text: string, name: string): number {
  try {
    return /^\d/.test(text) ? parseDuration(text, name) : Number.NaN;
  } catch {
    return Number.NaN;
  }
}

function wholeNumber(text: string, name: string): number {
  return /^\d{1,10}$/.test(text) ? Number(text) : refuse(name, 'a whole number');
}

function tagsOf(texts: readonly string[]): Record<string, string> {
  const tags = new Map<string, string>();
  for (const text of texts) {
    const at = text.indexOf('=');
    if (at < 1) refuse('tag', 'key=value');
    const [key, value] = [text.slice(0, at), text.slice(at + 1)];
    if (tags.has(key) && tags.get(key) !== value) throw new InvalidInputError('tag', 'gives one key two values, which no run can have');
    tags.set(key, value);
  }
  return Object.fromEntries(tags);
}

function refuse(name: string, what: string): never {
  throw new InvalidInputError(name, `must be ${what}`);
}
