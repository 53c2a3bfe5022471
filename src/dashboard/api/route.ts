import type { WorkflowClient } from '../../client/client.js';
import type { Events } from '../../client/events.js';
import type { RunQueries } from '../../client/queries/run-queries.js';
import { InvalidInputError } from '../../core/errors/index.js';
import type { LogFields } from '../../core/log-fields.js';
import type { Payloads } from '../../core/payloads.js';
import type { Database } from '../../store/database.js';

/** Parts of the module that the API uses. */
export interface ApiParts {
  /** Client that changes runs. */
  readonly client: WorkflowClient;
  /** Queries that show payloads as far as the option `payloads` allows. */
  readonly queries: RunQueries;
  /** Events whose payloads are shown as far as the option `payloads` allows. */
  readonly events: Events;
  /** Payloads as far as the option `payloads` allows. */
  readonly payloads: Payloads;
  readonly database: Database;
  /** The read replica, or else the database. */
  readonly reader: Database;
  /** Returns the current time of the database's clock, in milliseconds since 1970. */
  readonly now: () => number;
  readonly module: string | undefined;
  readonly isReadOnly: boolean;
  readonly showsPayloads: boolean;
  /** Writes a line to the application's log. */
  readonly log: (message: string, fields: LogFields) => void;
}

/** A request for a route. */
export interface RouteRequest extends ApiParts {
  /** Part of the path that the route's pattern names. */
  readonly param: (name: string) => string;
  readonly query: URLSearchParams;
  /** Fields of the body. Unknown fields have been refused. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly actor: string | undefined;
}

/** A field of a body, as the OpenAPI document describes it. */
export interface Field {
  readonly type?: 'string' | 'number' | 'boolean' | 'object';
  readonly about: string;
}

/** A request that the API answers. */
export interface Route {
  readonly method: 'GET' | 'POST';
  /** Path after `api/`; a part that begins with a colon is a parameter. */
  readonly path: string;
  readonly summary: string;
  /** Parameters of the query, with their descriptions. */
  readonly query?: Readonly<Record<string, string>>;
  /** True for a `POST` that only prepares a change. */
  readonly isPreparation?: true;
  /** Fields of the body of a `POST`. */
  readonly body?: Readonly<Record<string, Field>>;
  answer(request: RouteRequest): Promise<unknown>;
}

/** Fields of every request that changes something. */
export const REASON: Readonly<Record<string, Field>> = {
  reason: { type: 'string', about: 'Reason for the change, for the history of the run and the log. At most 255 characters.' },
};

const MAX_REASON_LENGTH = 255;

/**
 * Returns who makes a change and why, for the client.
 *
 * @throws InvalidInputError when the reason is not a text, or too long
 */
export function auditOf({ actor, body: { reason } }: Pick<RouteRequest, 'actor' | 'body'>): { actor?: string; reason?: string } {
  const isAbsent = reason === undefined || reason === null || reason === '';
  if (!isAbsent && (typeof reason !== 'string' || reason.length > MAX_REASON_LENGTH))
    throw new InvalidInputError('reason', `must be a text of at most ${MAX_REASON_LENGTH} characters`);
  return { ...(actor === undefined ? {} : { actor }), ...(isAbsent ? {} : { reason }) };
}
