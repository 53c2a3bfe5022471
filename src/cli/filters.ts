import type { RunFilter } from '../client/queries/run-filter.js';
import { parseDuration } from '../core/duration.js';
import type { ShownStatus } from '../core/run.js';
import type { Given } from './arguments.js';
import { usageError } from './errors.js';

/**
 * Builds the filter that the options describe. An option that is absent sets no condition. The
 * client checks the values.
 *
 * @param now milliseconds since the epoch, by the database's clock
 */
export function filterOf(given: Given, now: number): RunFilter {
  const filter: RunFilter = {};
  const lists = { name: 'name', queue: 'queue', errorCode: 'error-code', failedStep: 'failed-step' } as const;
  for (const [key, option] of Object.entries(lists) as [keyof typeof lists, string][]) {
    const values = given.texts(option);
    if (values.length > 0) filter[key] = values;
  }
  const versions = given.texts('workflow-version');
  if (versions.length > 0) filter.version = versions.map(versionOf);
  const statuses = given.texts('status');
  if (statuses.length > 0) filter.status = statuses as ShownStatus[];
  if (given.has('blocked')) filter.blocked = true;
  const parent = given.text('parent');
  if (parent !== undefined) filter.parentRunId = parent;
  const schedule = given.text('schedule');
  if (schedule !== undefined) filter.schedule = schedule;
  const tags = given.texts('tag');
  if (tags.length > 0) filter.tags = tagsOf(tags);
  const times = {
    createdAfter: 'created-after',
    createdBefore: 'created-before',
    finishedAfter: 'finished-after',
    finishedBefore: 'finished-before',
  } as const;
  for (const [key, option] of Object.entries(times) as [keyof typeof times, string][]) {
    const time = timeOf(given, option, now);
    if (time !== undefined) filter[key] = time;
  }
  return filter;
}

/** True when the options set at least one condition. */
export function hasFilter(filter: RunFilter): boolean {
  return Object.keys(filter).length > 0;
}

/**
 * Reads a time: ISO 8601, or a duration before now.
 *
 * @throws CommandError when the text is neither
 */
export function timeOf(given: Given, option: string, now: number): Date | undefined {
  const text = given.text(option);
  if (text === undefined) return undefined;
  if (/^\d{4}-/.test(text)) {
    const date = new Date(text);
    if (!Number.isNaN(date.getTime())) return date;
  } else {
    try {
      return new Date(now - parseDuration(text));
    } catch {
      // The error below names the option and both forms.
    }
  }
  throw usageError(`--${option} must be a time such as 2026-03-01T12:00Z, or 2h for two hours ago, not ${JSON.stringify(text)}`);
}

function versionOf(text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw usageError(`--workflow-version must be a whole number, not ${JSON.stringify(text)}`);
  return Number(text);
}

function tagsOf(texts: readonly string[]): Record<string, string> {
  const tags = new Map<string, string>();
  for (const [key, value] of texts.map(tagOf)) {
    const other = tags.get(key);
    // A run has one value per key, so such a filter would match no run. Dropping one of the values
    // would let a command delete runs that the user did not mean.
    if (other !== undefined && other !== value)
      throw usageError(`--tag gives ${JSON.stringify(key)} two values, ${JSON.stringify(other)} and ${JSON.stringify(value)}`);
    tags.set(key, value);
  }
  return Object.fromEntries(tags);
}

function tagOf(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw usageError(`--tag must be KEY=VALUE, not ${JSON.stringify(text)}`);
  return [text.slice(0, at), text.slice(at + 1)];
}
