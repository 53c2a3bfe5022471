import type { BulkDryRun, BulkPreview, BulkStart, BulkStatus } from '../../client/control/bulk.js';
import type { RunFilter } from '../../client/queries/run-filter.js';
import { isPlainObject } from '../../core/check-options.js';
import { InvalidInputError } from '../../core/errors/index.js';
import { defineSignal } from '../../core/signal.js';
import { filterOf } from './parameters.js';
import { auditOf, REASON, type Field, type Route } from './route.js';

const KINDS = ['cancel', 'terminate', 'retry', 'signal', 'delete'] as const;

type BulkKind = (typeof KINDS)[number];

/** A bulk operation of the client: its dry run, and its start. */
interface Operation {
  (options: BulkDryRun): Promise<BulkPreview>;
  (options: BulkStart): Promise<BulkStatus>;
}

const FILTER: Field = {
  type: 'string',
  about: 'Filter as the query of a listing, such as `name=order&status=failed`. An empty filter is refused.',
};

const SIGNAL: Readonly<Record<string, Field>> = {
  signal: { type: 'string', about: 'Name of the signal, for `signal`.' },
  payload: { about: 'Payload of the signal: any JSON value.' },
};

export const bulkRoutes: readonly Route[] = [
  {
    method: 'POST',
    path: 'bulk/:kind/count',
    summary: 'Counts the runs of a filter, and returns a token that starts the operation.',
    body: { filter: FILTER, ...SIGNAL, ...REASON },
    isPreparation: true,
    answer: ({ param, now, client, ...request }): Promise<BulkPreview> => {
      const kind = kindOf(param('kind'));
      const { filter, signal, payload } = request.body;
      const dryRun = { filter: toFilter(filter, now()), dryRun: true, ...auditOf(request) } as const;
      if (kind !== 'signal') return operationOf(client.bulk, kind)(dryRun);
      if (typeof signal !== 'string') throw new InvalidInputError('signal', 'must be the name of a signal');
      return client.bulk.signal({ ...dryRun, signal: defineSignal<unknown>(signal), payload });
    },
  },
  {
    method: 'POST',
    path: 'bulk/:kind/start',
    summary: 'Starts an operation whose runs were counted.',
    body: {
      token: { type: 'string', about: 'Token that the count returned. Required.' },
      rate: { type: 'number', about: 'Most runs per second. (default: no limit)' },
      ...REASON,
    },
    answer: ({ param, client, body }): Promise<BulkStatus> => {
      const { token, rate } = body;
      const start = { token: token as string, ...(rate === undefined || rate === null ? {} : { rate: rate as number }) };
      return operationOf(client.bulk, kindOf(param('kind')))(start);
    },
  },
  {
    method: 'POST',
    path: 'bulk/:token/stop',
    summary: 'Stops an operation. Runs that were already changed stay as they are.',
    body: {},
    answer: ({ param, client }): Promise<BulkStatus> => client.bulk.stop(param('token')),
  },
  {
    method: 'GET',
    path: 'bulk/:token',
    summary: 'Returns the progress of an operation.',
    answer: ({ param, client }): Promise<BulkStatus> => client.bulk.status(param('token')),
  },
];

function operationOf(bulk: Readonly<Record<BulkKind, unknown>>, kind: BulkKind): Operation {
  return (bulk[kind] as Operation).bind(bulk);
}

function kindOf(text: string): BulkKind {
  const kind = KINDS.find((each) => each === text);
  if (kind === undefined) throw new InvalidInputError('kind', `must be one of ${KINDS.join(', ')}`);
  return kind;
}

/** Reads a filter in the form of a query, in which a time may be a duration before now. */
function toFilter(filter: unknown, now: number): RunFilter {
  if (isPlainObject(filter) || typeof filter !== 'string') throw new InvalidInputError('filter', 'must be a text such as name=order');
  return filterOf(new URLSearchParams(filter), now);
}
