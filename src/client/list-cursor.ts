import { createHash } from 'node:crypto';

import { InvalidInputError } from '../core/errors/index.js';
import type { RunConditions } from '../core/run-filter.js';
import type { ListPosition } from '../store/sql/list-runs.js';

/** What is in a cursor. A later version that needs something else raises the first number. */
type Content = [version: 1, createdAtMicros: number, id: string, filter: string];

/** The text by which a caller goes on from a place in a listing; good for that listing alone. */
export function encodeCursor({ createdAtMicros, id }: ListPosition, conditions: RunConditions): string {
  const content: Content = [1, createdAtMicros, id, digestOf(conditions)];
  return Buffer.from(JSON.stringify(content)).toString('base64url');
}

/** @throws InvalidInputError when it is no cursor, or one of a listing with another filter */
export function decodeCursor(cursor: unknown, conditions: RunConditions, argument: string): ListPosition {
  const content = typeof cursor === 'string' && cursor.length <= MAX_LENGTH ? contentOf(cursor) : undefined;
  if (!content) throw new InvalidInputError(argument, 'is not a cursor that a listing gave');
  const [, createdAtMicros, id, filter] = content;
  if (filter !== digestOf(conditions)) {
    throw new InvalidInputError(argument, 'belongs to a listing with another filter: begin anew without it, or use the same filter');
  }
  return { createdAtMicros, id };
}

const MAX_LENGTH = 4_096;

function contentOf(cursor: string): Content | undefined {
  try {
    const content = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as unknown;
    if (!Array.isArray(content) || content.length !== 4) return undefined;
    const [version, createdAtMicros, id, filter] = content as unknown[];
    const isPosition = Number.isSafeInteger(createdAtMicros) && typeof id === 'string' && !id.includes('\u0000');
    return version === 1 && isPosition && typeof filter === 'string' ? (content as Content) : undefined;
  } catch {
    return undefined;
  }
}

/** Conditions come with their keys and members in one order, whatever the caller's. */
function digestOf(conditions: RunConditions): string {
  return createHash('sha256').update(JSON.stringify(conditions)).digest('base64url').slice(0, 16);
}
