import type { Headers } from './publication.js';

export interface ApiRequest {
  /** Texts that the groups of the route's pattern matched. */
  readonly params: readonly string[];
  readonly query: URLSearchParams;
  /** Headers, with names in lower case. */
  readonly headers: Headers;
  readonly body: Buffer;
  readonly callerIp: string;
}

export interface ApiResponse {
  readonly status: number;
  /** Body, which is sent as JSON. */
  readonly body?: unknown;
}

type Handler = (request: ApiRequest) => ApiResponse;

export interface Route {
  readonly method: string;
  readonly pattern: RegExp;
  /**
   * True when the pattern applies to the whole target, because a destination may have a query of
   * its own.
   */
  readonly matchesWholeTarget: boolean;
  readonly handle: Handler;
}

/** Creates routes such as `/v2/queues/:/pause`; a colon stands for one segment. */
export function route(methods: string, path: string, handle: Handler): Route[] {
  const pattern = new RegExp(`^${path.replaceAll(':', '([^/]+)')}/?$`);
  return methods.split(' ').map((method) => ({ method, pattern, matchesWholeTarget: false, handle }));
}

/** Creates a route whose path is followed by a destination, in its original form. */
export function routeToDestination(method: string, path: string, handle: Handler): Route[] {
  return [{ method, pattern: new RegExp(`^${path.replaceAll(':', '([^/]+)')}/(.+)$`), matchesWholeTarget: true, handle }];
}

/** Finds the route for a raw request target, and the texts that its groups matched. */
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
