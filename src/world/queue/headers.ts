import { validateHeaderName, validateHeaderValue } from 'node:http';

/** Header with the id of the delivered message. */
export const MESSAGE_HEADER = 'x-durable-message';
/** Header with the lease of the claim: a secret that is good for one delivery. */
export const LEASE_HEADER = 'x-durable-lease';

/**
 * Returns why a message cannot be sent with these headers; undefined for headers that can be sent.
 * A header that no request can carry would keep the message from ever being delivered.
 */
export function headersFault(headers: unknown): string | undefined {
  if (headers === undefined) return undefined;
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers)) return 'headers must be an object';
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value !== 'string') return `the header ${JSON.stringify(name)} must be a text`;
    try {
      validateHeaderName(name);
      validateHeaderValue(name, value);
    } catch (error) {
      return (error as Error).message;
    }
  }
  return undefined;
}

/** Headers that Node sets itself, or that would change how the body is read. */
const OWN_HEADERS = new Set(['host', 'content-length', 'content-type', 'connection', 'transfer-encoding', MESSAGE_HEADER, LEASE_HEADER]);

/** Returns the headers of a message that its delivery passes on. */
export function passedOn(headers: Record<string, string>): Record<string, string> {
  const isOwn = (name: string): boolean => OWN_HEADERS.has(name) || name.startsWith('upstash-');
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !isOwn(name.toLowerCase())));
}
