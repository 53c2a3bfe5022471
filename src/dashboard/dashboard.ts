import { checkNamedOptions } from '../core/check-options.js';
import { actionRoutes } from './api/actions.js';
import { bulkRoutes } from './api/bulk.js';
import { eventRoutes } from './api/events.js';
import { openApiOf } from './api/openapi.js';
import { overviewRoutes } from './api/overview.js';
import { queueRoutes } from './api/queues.js';
import { oneRunRoutes } from './api/run.js';
import { auditOf, type ApiParts, type Route, type RouteRequest } from './api/route.js';
import { runRoutes } from './api/runs.js';
import { decodedSegment, takePart } from './api/segments.js';
import { scheduleRoutes } from './api/schedules.js';
import { worldRoutes } from './api/world.js';
import type { DashboardRequest, DashboardResponse } from './request.js';
import { etagOf, isCached } from './server/etag.js';
import { PageFiles } from './server/page-files.js';
import { refusalOf, SECURITY_HEADERS } from './server/security.js';

const ROUTES: readonly Route[] = [
  overviewRoutes,
  runRoutes,
  oneRunRoutes,
  actionRoutes,
  bulkRoutes,
  queueRoutes,
  scheduleRoutes,
  eventRoutes,
  worldRoutes,
].flat();

const JSON_TYPE = 'application/json; charset=utf-8';

/** The dashboard of a module: the files of the page, and the API that the page uses. */
export class Dashboard {
  readonly #files = new PageFiles();

  /**
   * @throws WorkflowConfigurationError when the files of the page are missing
   */
  constructor(private readonly parts: ApiParts) {}

  /**
   * Answers with the page.
   *
   * @param path path of the request. The page names its files relative to the address without a
   *   slash at its end, so another address is redirected
   */
  page(path: string, { headers }: Pick<DashboardRequest, 'headers'>): DashboardResponse {
    if (path.endsWith('/')) return secured({ status: 308, headers: { location: '../dashboard' }, body: '' });
    return secured(this.#files.page(headers) ?? notFound());
  }

  /** Answers to a request that has failed. */
  failure(status: number, error: string, message: string, more: Readonly<Record<string, unknown>> = {}): DashboardResponse {
    return secured(problem(status, error, message, more));
  }

  /** Answers with a script or a style sheet of the page. */
  asset(name: string, { headers }: Pick<DashboardRequest, 'headers'>): DashboardResponse {
    return secured(this.#files.asset(name, headers) ?? notFound());
  }

  /**
   * Answers a request for the API.
   *
   * @throws WorkflowError and other errors of the client, before anything has changed
   */
  async api(request: DashboardRequest): Promise<DashboardResponse> {
    const { method, headers, segments } = request;
    const refusal = refusalOf(request);
    if (refusal !== undefined) return secured(problem(403, 'Forbidden', refusal));
    if (method === 'GET' && segments.join('/') === 'openapi.json') return secured(json(openApiOf(ROUTES), headers));
    const found = find(method, segments, request.query);
    if (!found) return secured(notFound());
    if (method === 'POST' && this.parts.isReadOnly) return secured(problem(403, 'Forbidden', 'the dashboard is read-only'));
    const { route, params, query } = found;
    const { actor } = request;
    const body =
      route.body === undefined ? {} : checkNamedOptions((request.body ?? {}) as Record<string, unknown>, 'body', Object.keys(route.body));
    const param = (name: string): string => decodedSegment(params.get(name)!, name);
    const asked: RouteRequest = { ...this.parts, param, query, body, actor };
    if (method === 'GET') return secured(json(await route.answer(asked), headers));
    // A reason that is not valid is refused before the change, also where only the log keeps it.
    const audit = auditOf(asked);
    const answer = await route.answer(asked);
    if (!route.isPreparation)
      this.#log(
        route.path.replaceAll(/:(\w+)/g, (_, name: string) => encodeURIComponent(param(name))),
        audit,
      );
    return secured(json(answer, {}));
  }

  /** Logs a change. The store has no place for the user who signals a run or changes a queue. */
  #log(change: string, { actor, reason }: { readonly actor?: string; readonly reason?: string }): void {
    const user = actor === undefined ? '' : ` by ${JSON.stringify(actor)}`;
    const why = reason === undefined ? '' : `: ${JSON.stringify(reason)}`;
    const fields = { change, ...(actor === undefined ? {} : { actor }), ...(reason === undefined ? {} : { reason }) };
    this.parts.log(`dashboard: change ${change}${user}${why}`, fields);
  }
}

interface FoundRoute {
  readonly route: Route;
  readonly params: ReadonlyMap<string, string>;
  /** Parameters of the query without those that hold parts of the path. */
  readonly query: URLSearchParams;
}

/** Finds the route of a request. Fixed parts of a path win over parameters, as the order says. */
function find(method: string, segments: readonly string[], given: URLSearchParams): FoundRoute | undefined {
  for (const route of ROUTES) {
    const pattern = route.path.split('/');
    if (route.method !== method || pattern.length !== segments.length) continue;
    if (!pattern.every((part, index) => part.startsWith(':') || part === segments[index])) continue;
    const query = new URLSearchParams(given);
    const params = new Map<string, string>();
    for (const [index, part] of pattern.entries())
      if (part.startsWith(':')) params.set(part.slice(1), takePart(segments[index]!, index, query));
    return { route, params, query };
  }
  return undefined;
}

function json(value: unknown, { 'if-none-match': known }: { readonly 'if-none-match'?: string | undefined }): DashboardResponse {
  const body = JSON.stringify(value);
  const etag = etagOf(body);
  const headers = { 'content-type': JSON_TYPE, 'cache-control': 'private, no-cache', etag };
  return isCached(known, etag) ? { status: 304, headers, body: '' } : { status: 200, headers, body };
}

/** Creates an answer in the form of Nest's own exceptions. */
function problem(status: number, error: string, message: string, more: Readonly<Record<string, unknown>> = {}): DashboardResponse {
  const headers = { 'content-type': JSON_TYPE, 'cache-control': 'no-store' };
  return { status, headers, body: JSON.stringify({ statusCode: status, message, error, ...more }) };
}

function notFound(): DashboardResponse {
  return problem(404, 'Not Found', 'there is nothing at this address');
}

/** Adds the headers that protect the page. */
function secured({ headers, ...response }: DashboardResponse): DashboardResponse {
  return { ...response, headers: { ...SECURITY_HEADERS, ...headers } };
}
