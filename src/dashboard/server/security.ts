import type { DashboardRequest } from '../request.js';

/**
 * Header that every request must have that changes something. A page of another origin can send it
 * only after a preflight request, which the application's CORS settings refuse by default.
 */
export const CHANGE_HEADER = 'x-durable-dashboard';

/** Headers of every answer. The policy forbids everything but the files of the dashboard itself. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-frame-options': 'DENY',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
};

/**
 * Returns why a request for the API is refused; undefined when it is not refused. Browsers say in
 * `Sec-Fetch-Site` where a request comes from. Programs other than browsers send neither
 * `Sec-Fetch-Site` nor `Origin`.
 */
export function refusalOf({ method, headers, host }: Pick<DashboardRequest, 'method' | 'headers' | 'host'>): string | undefined {
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && (site !== 'none' || method === 'POST')) {
    return 'requests from other sites are refused';
  }
  // Browsers send no `Sec-Fetch-Site` to an address without encryption.
  if (site === undefined && headers.origin !== undefined && !isOwnOrigin(headers.origin, host)) {
    return 'requests from other origins are refused; behind a proxy that changes the Host header, the application must trust the proxy';
  }
  if (method === 'GET') return undefined;
  if (headers[CHANGE_HEADER] === undefined) return `a request that changes something needs the header ${CHANGE_HEADER}`;
  if (!/^application\/json\b/.test(headers['content-type'] ?? '')) return 'the body must be JSON, with the content type application/json';
  return undefined;
}

/**
 * True when the origin has the host of the request. `X-Forwarded-Host` does not count here: anybody
 * can send this header, and only the HTTP server knows the proxies that the application trusts.
 */
function isOwnOrigin(origin: string, host: string | undefined): boolean {
  if (host === undefined || !URL.canParse(origin)) return false;
  const { protocol, host: named } = new URL(origin);
  // A proxy may name the default port, which an origin never does.
  const own = `${protocol}//${host}`;
  return URL.canParse(own) && new URL(own).host === named;
}
