/** Parameters of a filter, in the order in which they are shown. */
export const FILTERS: Readonly<Record<string, string>> = {
  name: 'Workflow',
  version: 'Version',
  queue: 'Queue',
  tag: 'Tag',
  errorCode: 'Error',
  failedStep: 'Failed step',
  parentRunId: 'Parent',
  schedule: 'Schedule',
  blocked: 'Blocked',
  createdAfter: 'Created after',
  createdBefore: 'Created before',
  finishedAfter: 'Ended after',
  finishedBefore: 'Ended before',
};

export const STATUSES = ['pending', 'running', 'waiting', 'paused', 'completed', 'failed', 'cancelled', 'continued'] as const;

/** Words of the search field, with the parameters that they set. */
const WORDS: Readonly<Record<string, string>> = {
  name: 'name',
  workflow: 'name',
  version: 'version',
  status: 'status',
  queue: 'queue',
  tag: 'tag',
  error: 'errorCode',
  step: 'failedStep',
  parent: 'parentRunId',
  schedule: 'schedule',
  blocked: 'blocked',
  after: 'createdAfter',
  before: 'createdBefore',
  'ended-after': 'finishedAfter',
  'ended-before': 'finishedBefore',
};

/** Parameters that a filter has only once. */
const SINGLE = new Set(['parentRunId', 'schedule', 'blocked', 'createdAfter', 'createdBefore', 'finishedAfter', 'finishedBefore']);

/** Keeps the parameters of a query that select runs. */
export function filterOf(query: URLSearchParams): URLSearchParams {
  return new URLSearchParams([...query].filter(([key]) => key in FILTERS || key === 'status'));
}

/** True when the query selects some of the runs, and not all of them. */
export function hasFilter(query: URLSearchParams): boolean {
  return [...query.keys()].some((key) => key in FILTERS || key === 'status');
}

/** Text of the search field, taken apart. */
export interface Search {
  /** Conditions such as `queue:mail`. */
  readonly conditions: readonly (readonly [key: string, value: string])[];
  /** The rest: the id of a run, or the name of a workflow. */
  readonly text: string;
}

/** Takes the text of the search field apart. A value with spaces is in quotation marks. */
export function parseSearch(given: string): Search {
  const conditions: [string, string][] = [];
  const rest = given.replace(/(?<=^|\s)([a-z-]+):("[^"]*"|\S+)/g, (whole: string, word: string, value: string) => {
    const key = Object.hasOwn(WORDS, word) ? WORDS[word] : undefined;
    if (key === undefined) return whole;
    conditions.push([key, value.replace(/^"(.*)"$/, '$1')]);
    return '';
  });
  return { conditions, text: rest.trim() };
}

/** Adds a condition to a filter, and leaves the page of the former filter. */
export function withCondition(query: URLSearchParams, key: string, value: string): URLSearchParams {
  const next = filterOf(query);
  if (SINGLE.has(key)) next.set(key, value);
  else if (!next.getAll(key).includes(value)) next.append(key, value);
  return next;
}

/** Removes a condition from a filter, and leaves the page of the former filter. */
export function withoutCondition(query: URLSearchParams, key: string, value: string): URLSearchParams {
  return new URLSearchParams([...filterOf(query)].filter(([each, its]) => each !== key || its !== value));
}
