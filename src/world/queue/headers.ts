import { validateHeaderName, validateHeaderValue } from 'node:http';

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
