import type { IncomingHttpHeaders } from 'node:http';

/** A request to the dashboard, as the HTTP server of the application has parsed it. */
export interface DashboardRequest {
  readonly method: 'GET' | 'POST';
  /** Parts of the path after the path of the dashboard, decoded. */
  readonly segments: readonly string[];
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /**
   * Host and port that the browser asked for, as the HTTP server of the application has found them:
   * in the headers of a proxy only where the application trusts the proxy.
   */
  readonly host: string | undefined;
  /** Body that the application's parser has read; undefined without one. */
  readonly body: unknown;
  /** Person or system that makes the request, for histories of runs. */
  readonly actor: string | undefined;
}

/** An answer of the dashboard. */
export interface DashboardResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
}
