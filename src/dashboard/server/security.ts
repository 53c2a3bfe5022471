import type { IncomingHttpHeaders } from 'node:http';

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
export function refusalOf(method: 'GET' | 'POST', headers: IncomingHttpHeaders): string | undefined {
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && (site !== 'none' || method === 'POST')) {
    return 'requests from other sites are refused';
  }
  // Browsers send no `Sec-Fetch-Site` to an address without encryption.
  if (site === undefined && headers.origin !== undefined && !isOwnOrigin(headers.origin, headers)) {
    return 'requests from other origins are refused';
  }
  if (method === 'GET') return undefined;
  if (headers[CHANGE_HEADER] === undefined) return `a request that changes something needs the header ${CHANGE_HEADER}`;
  if (!/^application\/json\b/.test(headers['content-type'] ?? '')) return 'the body must be JSON, with the content type application/json';
  return undefined;
}

/** True when the origin has the host of the request, or the host that a proxy has received. */
function isOwnOrigin(origin: string, headers: IncomingHttpHeaders): boolean {
  const host = URL.canParse(origin) ? new URL(origin).host : undefined;
  const forwarded = headers['x-forwarded-host'];
  return host !== undefined && (host === headers.host || host === (Array.isArray(forwarded) ? forwarded[0] : forwarded));
}
