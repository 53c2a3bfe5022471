import { checkOptions } from '../core/check-options.js';
import { InvalidInputError, RunNotFoundError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import type { Payloads } from '../core/payloads.js';
import type { Database } from '../store/database.js';
import { readHistory, type HistoryPosition, type HistoryRow } from '../store/sql/read-history.js';
import { areOneChain } from '../store/sql/chains.js';
import { readRunStatus } from '../store/sql/read-runs.js';
import { checkFollowing, type FollowOptions } from './follow-options.js';
import { currentRunId } from './follow.js';

/** Which part of a run's history. */
export interface HistoryOptions extends FollowOptions {
  /** Where the page before ended. */
  cursor?: string;
  /** How many entries at most, from 1 to 1,000. Default 100. */
  limit?: number;
}

/** Something that happened to a run. */
export interface HistoryEntry {
  at: Date;
  /** What happened; docs/operations.md lists them all. */
  kind: string;
  stepKey: string | undefined;
  /** A signal's name, the first characters of a hook's token, the id of another run. */
  name: string | undefined;
  /** Of a step how many attempts it took; of a failed attempt which it was. */
  attempt: number | undefined;
  /** Under which claim of the run it happened. */
  epoch: number | undefined;
  /** Of a step: when it began. */
  startedAt: Date | undefined;
  /** Of a step that has completed, and of the run. */
  output: unknown;
  /** Of a failed attempt, a failed step, a stop, a deployment whose code does not fit, and of the run. */
  error: Error | undefined;
  /** What else is known, such as who asked for a cancellation and why. */
  data: Record<string, unknown> | undefined;
}

/** A part of a run's history. */
export interface HistoryPage {
  entries: HistoryEntry[];
  /** For the next page; undefined when this is the last one. */
  cursor: string | undefined;
}

const MAX_LIMIT = 1_000;

/** @throws InvalidInputError, RunNotFoundError, QueryTimeoutError @internal */
export async function historyPage(database: Database, payloads: Payloads, runId: string, options: HistoryOptions): Promise<HistoryPage> {
  const { cursor, limit = 100, follow } = checkOptions(options, 'options', ['cursor', 'limit', 'follow']);
  const named = checkText(runId, 'runId');
  const following = { follow: checkFollowing(follow) };
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    throw new InvalidInputError('options.limit', `must be a whole number from 1 to ${MAX_LIMIT}`);
  }
  const place = cursor === undefined ? undefined : decodePosition(cursor);
  // A run that is continued between two pages must not have the second one read from another history.
  const id = place?.runId ?? (await currentRunId(database, named, following));
  if (place && id !== named && !(following.follow && (await areOneChain(database, named, id)))) {
    throw new InvalidInputError('options.cursor', 'is of the history of another run');
  }
  // One more than asked for tells whether there are more.
  const found = await readHistory(database, id, place, limit + 1);
  if (found.length === 0 && (await readRunStatus(database, id)) === undefined) throw new RunNotFoundError(id);
  const page = found.slice(0, limit);
  return {
    entries: page.map(({ row }) => toEntry(row, payloads)),
    cursor: found.length > limit ? encodePosition(id, page.at(-1)!.position) : undefined,
  };
}

function toEntry(row: HistoryRow, payloads: Payloads): HistoryEntry {
  const subject = row.stepKey === null ? 'output' : `output of step "${row.stepKey}"`;
  return {
    at: new Date(row.at),
    kind: row.kind,
    stepKey: row.stepKey ?? undefined,
    name: row.name ?? undefined,
    attempt: row.attempt ?? undefined,
    epoch: row.epoch ?? undefined,
    startedAt: row.startedAt === null ? undefined : new Date(row.startedAt),
    output: row.output === null ? undefined : payloads.decode(row.output, subject),
    error: row.error === null ? undefined : payloads.showError(row.error),
    data: row.data === null ? undefined : (JSON.parse(row.data) as Record<string, unknown>),
  };
}

function encodePosition(runId: string, { at, rank, number }: HistoryPosition): string {
  return Buffer.from(JSON.stringify([at, rank, number, runId])).toString('base64url');
}

/** An id has up to 255 characters, of four bytes each, and is escaped twice. */
const MAX_CURSOR_LENGTH = 4_096;
/** The last moment that a Date can hold; PostgreSQL's timestamps reach further. */
const LAST_MOMENT = 8.64e15;
const MAX_RANK = 2 ** 31 - 1;
const MAX_NUMBER = 2n ** 63n - 1n;

function decodePosition(cursor: unknown): HistoryPosition & { readonly runId: string } {
  const content = typeof cursor === 'string' && cursor.length <= MAX_CURSOR_LENGTH ? contentOf(cursor) : undefined;
  if (Array.isArray(content)) {
    const [at, rank, number, runId] = content as unknown[];
    const isRun = typeof runId === 'string' && isText(runId);
    if (isWithin(at, LAST_MOMENT) && isWithin(rank, MAX_RANK) && isNumberText(number) && isRun) return { at, rank, number, runId };
  }
  throw new InvalidInputError('options.cursor', 'is not a cursor that a history gave');
}

function isText(value: string): boolean {
  try {
    return checkText(value, 'options.cursor') === value;
  } catch {
    return false;
  }
}

function contentOf(cursor: string): unknown {
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString());
  } catch {
    return undefined;
  }
}

function isWithin(value: unknown, most: number): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most;
}

function isNumberText(value: unknown): value is string {
  if (typeof value !== 'string' || !/^-?\d{1,19}$/.test(value)) return false;
  const number = BigInt(value);
  return number >= -MAX_NUMBER && number <= MAX_NUMBER;
}
