import { createHash } from 'node:crypto';

import { InvalidInputError } from '../../core/errors/index.js';
import { checkText } from '../../core/ids.js';
import type { RunConditions } from '../../core/run-filter.js';
import type { ListPosition } from '../../store/sql/list-runs.js';
import type { HistoryPosition } from '../../store/sql/read-history.js';

/**
 * Maximum length of a cursor. A run id may have 255 characters of four bytes each, and is encoded
 * twice, as JSON and as base64.
 */
const MAX_CURSOR_LENGTH = 4_096;
/** Last moment that a Date can represent. Timestamps of PostgreSQL can be later. */
const LAST_MOMENT = 8.64e15;
const MAX_RANK = 2 ** 31 - 1;
const MAX_NUMBER = 2n ** 63n - 1n;

/**
 * Checks how many entries a caller wants per page, and returns the number.
 *
 * @param fallback number that is returned when the limit is absent
 * @throws InvalidInputError when the limit is not between 1 and `max`
 */
export function checkLimit(limit: unknown, argument: string, fallback: number, max: number): number {
  if (limit === undefined) return fallback;
  if (!(Number.isInteger(limit) && (limit as number) >= 1 && (limit as number) <= max)) {
    throw new InvalidInputError(argument, `must be a whole number from 1 to ${max.toLocaleString('en-US')}`);
  }
  return limit as number;
}

/**
 * Content of a listing's cursor. A later version of the package raises `version` when it needs
 * other content.
 */
type ListContent = [version: 1, createdAtMicros: number, id: string, filter: string];

/**
 * Encodes a position in a listing as a cursor. The cursor is valid only for a listing with the same
 * filter.
 */
export function encodeListCursor({ createdAtMicros, id }: ListPosition, conditions: RunConditions): string {
  const content: ListContent = [1, createdAtMicros, id, digestOf(conditions)];
  return encode(content);
}

/**
 * Decodes the cursor of a listing.
 *
 * @throws InvalidInputError when the text is not a cursor, or belongs to another filter
 */
export function decodeListCursor(cursor: unknown, conditions: RunConditions, argument: string): ListPosition {
  const content = decode(cursor);
  if (!isListContent(content)) throw new InvalidInputError(argument, 'is not a cursor that a listing returned');
  const [, createdAtMicros, id, filter] = content;
  if (filter !== digestOf(conditions)) {
    throw new InvalidInputError(argument, 'belongs to a listing with another filter: use the same filter, or start without a cursor');
  }
  return { createdAtMicros, id };
}

function isListContent(content: unknown[] | undefined): content is ListContent {
  if (content?.length !== 4) return false;
  const [version, createdAtMicros, id, filter] = content;
  const isPosition = Number.isSafeInteger(createdAtMicros) && typeof id === 'string' && !id.includes('\u0000');
  return version === 1 && isPosition && typeof filter === 'string';
}

/**
 * Computes a digest of a filter. Equal filters have the same digest, because checked conditions are
 * always in the same order.
 */
function digestOf(conditions: RunConditions): string {
  return createHash('sha256').update(JSON.stringify(conditions)).digest('base64url').slice(0, 16);
}

/** Encodes a position in a run's history as a cursor. The cursor also names the run. */
export function encodeHistoryCursor(runId: string, { at, rank, number }: HistoryPosition): string {
  return encode([at, rank, number, runId]);
}

/**
 * Decodes the cursor of a history.
 *
 * @throws InvalidInputError when the text is not a cursor of a history
 */
export function decodeHistoryCursor(cursor: unknown, argument: string): HistoryPosition & { readonly runId: string } {
  const [at, rank, number, runId] = decode(cursor) ?? [];
  const isRun = typeof runId === 'string' && isText(runId);
  if (isWithin(at, LAST_MOMENT) && isWithin(rank, MAX_RANK) && isNumberText(number) && isRun) return { at, rank, number, runId };
  throw new InvalidInputError(argument, 'is not a cursor that a history returned');
}

function isWithin(value: unknown, max: number): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= max;
}

function isNumberText(value: unknown): value is string {
  if (typeof value !== 'string' || !/^-?\d{1,19}$/.test(value)) return false;
  const number = BigInt(value);
  return number >= -MAX_NUMBER && number <= MAX_NUMBER;
}

function isText(value: string): boolean {
  try {
    return checkText(value, 'cursor') === value;
  } catch {
    return false;
  }
}

function encode(content: readonly unknown[]): string {
  return Buffer.from(JSON.stringify(content)).toString('base64url');
}

/**
 * Decodes the JSON in a cursor.
 *
 * @returns undefined when the text is not a cursor
 */
function decode(cursor: unknown): unknown[] | undefined {
  if (typeof cursor !== 'string' || cursor.length > MAX_CURSOR_LENGTH) return undefined;
  try {
    const content = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as unknown;
    return Array.isArray(content) ? content : undefined;
  } catch {
    return undefined;
  }
}
