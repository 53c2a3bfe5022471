import type { Headers } from './publication.js';

export interface ApiRequest {
  /** Parts of the path that match the groups of the route's pattern. */
  readonly params: readonly string[];
  readonly query: URLSearchParams;
  /** Headers of the request, with names in lower case. */
  readonly headers: Headers;
  readonly body: Buffer;
  readonly callerIp: string;
}

export interface ApiResponse {
  readonly status: number;
  /** Value that is sent as JSON in the body of the answer. */
  readonly body?: unknown;
}

type Handler = (request: ApiRequest) => ApiResponse;

export interface Route {
  readonly method: string;
  readonly pattern: RegExp;
  /**
   * True when the pattern is matched against the path together with the query. A destination at the
   * end of the path may have a query of its own.
   */
  readonly matchesWholeTarget: boolean;
  readonly handle: Handler;
}

/**
 * Creates routes such as `/v2/queues/:/pause`, in which a colon matches one segment of the path.
 * Creates one route for each of the methods.
 */
export function route(methods: string, path: string, handle: Handler): Route[] {
  const pattern = new RegExp(`^${path.replaceAll(':', '([^/]+)')}/?$`);
  return methods.split(' ').map((method) => ({ method, pattern, matchesWholeTarget: false, handle }));
}

/**
 * Creates a route whose path ends in the URL of a destination. The router does not decode that URL.
 */
export function routeToDestination(method: string, path: string, handle: Handler): Route[] {
  return [{ method, pattern: new RegExp(`^${path.replaceAll(':', '([^/]+)')}/(.+)$`), matchesWholeTarget: true, handle }];
}

/**
 * Finds the route for the raw target of a request. Returns the route and the parts of the target
 * that match the groups of its pattern.
 */
export function findRoute(routes: readonly Route[], method: string, target: string): { route: Route; params: string[] } | undefined {
  const path = target.split('?', 1)[0]!;
  for (const route of routes) {
    const match = route.method === method ? route.pattern.exec(route.matchesWholeTarget ? target : path) : null;
    if (match)
      return {
        route,
        params: match.slice(1).map((text, index) => (route.matchesWholeTarget && index === match.length - 2 ? text : decode(text))),
      };
  }
  return undefined;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
