import type { WorkflowClient } from '../../client/client.js';
import type { RunQueries } from '../../client/queries/run-queries.js';
import type { Payloads } from '../../core/payloads.js';
import type { Database } from '../../store/database.js';

/** Parts of the module that the API uses. */
export interface ApiParts {
  /** Client that changes runs. */
  readonly client: WorkflowClient;
  /** Queries that show payloads as far as the option `payloads` allows. */
  readonly queries: RunQueries;
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
  /** Fields of the body of a `POST`. */
  readonly body?: Readonly<Record<string, Field>>;
  answer(request: RouteRequest): Promise<unknown>;
}

/** Fields of every request that changes a run. */
export const REASON: Readonly<Record<string, Field>> = {
  reason: { type: 'string', about: 'Reason for the change, which the history of the run shows. At most 255 characters.' },
};

/** Returns who makes a change and why, for the client. */
export function auditOf({ actor, body }: Pick<RouteRequest, 'actor' | 'body'>): { actor?: string; reason?: string } {
  const { reason } = body;
  return {
    ...(actor === undefined ? {} : { actor }),
    ...(reason === undefined || reason === null || reason === '' ? {} : { reason: reason as string }),
  };
}
