import type { Headers } from './publication.js';

export interface ApiRequest {
  /** What the groups of the route's pattern have matched. */
  readonly params: readonly string[];
  readonly query: URLSearchParams;
  /** In lower case. */
  readonly headers: Headers;
  readonly body: Buffer;
  readonly callerIp: string;
}

export interface ApiResponse {
  readonly status: number;
  /** Sent as JSON. */
  readonly body?: unknown;
}

type Handler = (request: ApiRequest) => ApiResponse;

export interface Route {
  readonly method: string;
  readonly pattern: RegExp;
  /** Whether the pattern is held against the whole target: a destination may have a query of its own. */
  readonly whole: boolean;
  readonly handle: Handler;
}

/** `/v2/queues/:/pause`: a colon is one segment. */
export function route(methods: string, path: string, handle: Handler): Route[] {
  const pattern = new RegExp(`^${path.replaceAll(':', '([^/]+)')}/?$`);
  return methods.split(' ').map((method) => ({ method, pattern, whole: false, handle }));
}

/** What follows the path is a destination, as it was written. */
export function routeToDestination(method: string, path: string, handle: Handler): Route[] {
  return [{ method, pattern: new RegExp(`^${path.replaceAll(':', '([^/]+)')}/(.+)$`), whole: true, handle }];
}

/** The route for a raw request target, and what its groups have matched. */
export function findRoute(routes: readonly Route[], method: string, target: string): { route: Route; params: string[] } | undefined {
  const path = target.split('?', 1)[0]!;
  for (const route of routes) {
    const match = route.method === method ? route.pattern.exec(route.whole ? target : path) : null;
    if (match)
      return { route, params: match.slice(1).map((text, index) => (route.whole && index === match.length - 2 ? text : decode(text))) };
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
