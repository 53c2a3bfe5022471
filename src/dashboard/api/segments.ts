import { InvalidInputError } from '../../core/errors/index.js';

/**
 * Decodes a part of a path. `~` and base64url stand for a text that proxies or browsers would
 * change, such as an id with a slash.
 *
 * @throws InvalidInputError when the part begins with `~` and is not base64url of UTF-8
 */
export function decodedSegment(segment: string, name: string): string {
  if (!segment.startsWith('~')) return segment;
  const bytes = Buffer.from(segment.slice(1), 'base64url');
  const text = bytes.toString();
  const isExact = bytes.toString('base64url') === segment.slice(1) && Buffer.from(text).equals(bytes);
  if (!isExact || text === '') throw new InvalidInputError(name, 'begins with ~, so base64url must follow');
  return text;
}

/**
 * Takes a long part of a path out of the query: for `~` at place 1, the parameter `~1`. Fastify
 * accepts only 100 characters in a part of a path.
 */
export function takePart(segment: string, place: number, query: URLSearchParams): string {
  const name = `~${place}`;
  const part = segment === '~' ? query.get(name) : null;
  if (part === null) return segment;
  query.delete(name);
  return part;
}
