import type { RunDescription, StepDescription } from '../../client/queries/describe.js';
import type { HistoryEntry } from '../../client/queries/history.js';
import type { StreamDescription } from '../../client/queries/streams.js';
import { readPage, readSummary, type StreamSummary } from '../../client/streams/stream-page.js';
import { InvalidInputError } from '../../core/errors/index.js';
import { readTraceId } from '../../store/sql/recent-runs.js';
import { checkNames, numberOf } from './parameters.js';
import type { Route } from './route.js';
import { FULL_LENGTH, PREVIEW_LENGTH, shownError, shownPayload, type ShownError, type ShownPayload } from './shown.js';

/** A run with its payloads as text. */
export interface ShownRun extends Omit<RunDescription, 'input' | 'output' | 'error' | 'state' | 'blocked'> {
  readonly input: ShownPayload;
  readonly output: ShownPayload;
  readonly error: ShownError | undefined;
  readonly state: Readonly<Record<string, ShownPayload>>;
  readonly blocked: { since: Date | undefined; deployments: string[]; reason: ShownError | undefined } | undefined;
  /** Id of the trace in which the run was started. */
  readonly traceId: string | undefined;
}

/** A recorded step with its payloads as text. */
export interface ShownStep extends Omit<StepDescription, 'output' | 'error' | 'compensateArgs'> {
  readonly output: ShownPayload;
  readonly error: ShownError | undefined;
  readonly isCompensable: boolean;
}

export interface StepPage {
  readonly steps: readonly ShownStep[];
  /** `seq` after which the next page begins; undefined on the last page. */
  readonly next: number | undefined;
}

/** An entry of a run's history with its payloads as text. */
export interface ShownEntry extends Omit<HistoryEntry, 'output' | 'error' | 'data'> {
  readonly output: ShownPayload;
  readonly error: ShownError | undefined;
  /** Further details as JSON, such as the actor and the reason. */
  readonly data: ShownPayload;
}

export interface ShownHistory {
  readonly entries: readonly ShownEntry[];
  readonly cursor: string | undefined;
}

export interface ShownStream extends Pick<StreamSummary, 'length' | 'state'> {
  readonly chunks: readonly { readonly index: number; readonly type: string; readonly value: ShownPayload }[];
  readonly next: number;
}

const FULL = 'Set to `full` for whole payloads, up to 1,000,000 characters each. (default: 2,000 characters)';
const DEFAULT_STEPS = 300;
const MAX_STEPS = 1_000;
const MAX_ENTRIES = 500;
const MAX_CHUNKS = 200;

export const oneRunRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: 'runs/:runId',
    summary: 'Returns all details of exactly this run, except its steps.',
    query: { payloads: FULL },
    answer: async ({ param, query, queries, reader }): Promise<ShownRun> => {
      checkNames(query, ['payloads']);
      const length = lengthOf(query);
      const run = await queries.describe(param('runId'), { follow: false });
      const { error, blocked } = run;
      return {
        ...run,
        input: shownPayload(run.input, length),
        // A run that returned nothing has the output `undefined`, as a run that has not ended.
        output: shownPayload(run.output, length),
        error: shownError(error),
        blocked: blocked && { ...blocked, reason: shownError(blocked.reason) },
        state: Object.fromEntries(Object.entries(run.state).map(([key, value]) => [key, shownPayload(value, length)])),
        traceId: await readTraceId(reader, run.runId),
      };
    },
  },
  {
    method: 'GET',
    path: 'runs/:runId/steps',
    summary: 'Returns the recorded steps of exactly this run, in the order of their results.',
    query: {
      after: 'The `seq` of the last step of the previous page.',
      limit: `Steps per page, from 1 to ${MAX_STEPS}. (default: ${DEFAULT_STEPS})`,
      payloads: FULL,
    },
    answer: async ({ param, query, queries }): Promise<StepPage> => {
      checkNames(query, ['after', 'limit', 'payloads']);
      const limit = boundedLimit(query, DEFAULT_STEPS, MAX_STEPS);
      const after = numberOf(query, 'after') ?? 0;
      // A page ends early at large results, so only the step behind it shows that there is another.
      const found = await queries.steps(param('runId'), { after, limit, follow: false });
      const last = found.at(-1);
      const more = last === undefined ? [] : await queries.steps(param('runId'), { after: last.seq, limit: 1, follow: false });
      const length = lengthOf(query);
      return { steps: found.map((step) => toShownStep(step, length)), next: more.length === 0 ? undefined : last?.seq };
    },
  },
  {
    method: 'GET',
    path: 'runs/:runId/history',
    summary: 'Returns everything that happened to exactly this run, oldest first.',
    query: { cursor: 'The `cursor` of the previous page.', limit: `Entries per page, from 1 to ${MAX_ENTRIES}. (default: 200)` },
    answer: async ({ param, query, queries }): Promise<ShownHistory> => {
      checkNames(query, ['cursor', 'limit']);
      const cursor = query.get('cursor');
      const limit = boundedLimit(query, 200, MAX_ENTRIES);
      const page = await queries.history(param('runId'), { limit, follow: false, ...(cursor === null ? {} : { cursor }) });
      return { cursor: page.cursor, entries: page.entries.map(toShownEntry) };
    },
  },
  {
    method: 'GET',
    path: 'runs/:runId/streams',
    summary: 'Lists the streams of exactly this run.',
    answer: async ({ param, query, queries }): Promise<{ streams: StreamDescription[] }> => {
      checkNames(query, []);
      return { streams: await queries.streams(param('runId')) };
    },
  },
  {
    method: 'GET',
    path: 'runs/:runId/streams/:name',
    summary: 'Returns a part of a stream.',
    query: {
      from: 'Place of the first chunk. A negative number counts from the end. (default: 0)',
      limit: `Chunks per page, from 1 to ${MAX_CHUNKS}. (default: ${MAX_CHUNKS})`,
    },
    answer: async ({ param, query, reader, payloads }): Promise<ShownStream> => {
      checkNames(query, ['from', 'limit']);
      const target = { runId: param('runId'), stream: param('name') };
      const limit = boundedLimit(query, MAX_CHUNKS, MAX_CHUNKS);
      const summary = await readSummary(reader, target.runId, target.stream);
      const from = Math.max(fromOf(query, summary.length), summary.expiredTo);
      const page = await readPage(reader, payloads, { ...target, from }, { limit, summary });
      const chunks = page.events.map((event) => ({
        index: event.index,
        type: event.type,
        value: shownPayload('value' in event ? event.value : undefined, PREVIEW_LENGTH),
      }));
      return { length: summary.length, state: summary.state, chunks, next: page.next };
    },
  },
];

function lengthOf(query: URLSearchParams): number {
  const payloads = query.get('payloads');
  if (payloads !== null && payloads !== 'full') throw new InvalidInputError('payloads', "must be 'full', or absent");
  return payloads === null ? PREVIEW_LENGTH : FULL_LENGTH;
}

function boundedLimit(query: URLSearchParams, fallback: number, most: number): number {
  const limit = numberOf(query, 'limit') ?? fallback;
  if (limit < 1 || limit > most) throw new InvalidInputError('limit', `must be from 1 to ${most}`);
  return limit;
}

function fromOf(query: URLSearchParams, length: number): number {
  const text = query.get('from') ?? '0';
  if (!/^-?\d{1,9}$/.test(text)) throw new InvalidInputError('from', 'must be a whole number');
  const from = Number(text);
  return from < 0 ? Math.max(0, length + from) : from;
}

function toShownStep({ output, error, compensateArgs, ...step }: StepDescription, length: number): ShownStep {
  return {
    ...step,
    output: shownPayload(output, length),
    error: shownError(error),
    isCompensable: compensateArgs !== undefined,
  };
}

function toShownEntry({ output, error, data, ...entry }: HistoryEntry): ShownEntry {
  return {
    ...entry,
    output: shownPayload(output, PREVIEW_LENGTH),
    error: shownError(error),
    data: shownPayload(detailsOf(entry.kind, data), PREVIEW_LENGTH),
  };
}

/**
 * Leaves out the stored result of a step that a retry has removed. Unlike other payloads it is the
 * text of the database, which a codec may have encoded.
 */
function detailsOf(kind: string, data: Record<string, unknown> | undefined): Record<string, unknown> | undefined {
  if (kind !== 'step_archived' || data === undefined) return data;
  const { output: _output, error: _error, ...details } = data;
  return details;
}
