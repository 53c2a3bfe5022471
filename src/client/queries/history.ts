import { checkOptions } from '../../core/check-options.js';
import { toDate } from '../../core/duration.js';
import { InvalidInputError, RunNotFoundError } from '../../core/errors/index.js';
import { checkText } from '../../core/ids.js';
import type { Payloads } from '../../core/payloads.js';
import type { Database } from '../../store/database.js';
import { readHistory, type HistoryRow } from '../../store/sql/read-history.js';
import { areOneChain } from '../../store/sql/chains.js';
import { readRunStatus } from '../../store/sql/read-runs.js';
import { checkFollowing, type FollowOptions } from '../follow-options.js';
import { currentRunId } from '../follow.js';
import { checkLimit, decodeHistoryCursor, encodeHistoryCursor } from './cursor.js';

/** Options that select a page of a run's history. */
export interface HistoryOptions extends FollowOptions {
  /** The `cursor` of the previous page. (default: the first page) */
  cursor?: string;
  /** Entries per page, from 1 to 1,000. (default: 100) */
  limit?: number;
}

/** An entry in a run's history. */
export interface HistoryEntry {
  /** Moment of the event. */
  at: Date;
  /** Kind of the event; docs/operations.md lists all kinds. */
  kind: string;
  /** Key of the step that the event concerns. Undefined for events of the whole run. */
  stepKey: string | undefined;
  /** Name of a signal or an event, first characters of a hook's token, or id of another run. */
  name: string | undefined;
  /** Number of a failed attempt, from 1, or the number of attempts that a step took. */
  attempt: number | undefined;
  /** Number of the claim under which the event happened. */
  epoch: number | undefined;
  /** Moment at which the step started. */
  startedAt: Date | undefined;
  /** Output of the completed step or run. */
  output: unknown;
  /**
   * Error of the failed attempt, step or run, of a cancellation, or of a deployment whose code does
   * not match the run's history.
   */
  error: Error | undefined;
  /** Further details, such as the actor and reason of a cancel request. */
  data: Record<string, unknown> | undefined;
}

/** A page of a run's history. */
export interface HistoryPage {
  /** Entries of the page, oldest first. */
  entries: HistoryEntry[];
  /** Cursor of the next page. Undefined on the last page. */
  cursor: string | undefined;
}

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1_000;

/**
 * Reads a page of a run's history.
 *
 * @throws InvalidInputError, RunNotFoundError, QueryTimeoutError
 * @internal
 */
export async function historyPage(database: Database, payloads: Payloads, runId: string, options: HistoryOptions): Promise<HistoryPage> {
  const { cursor, limit, follow } = checkOptions(options, 'options', ['cursor', 'limit', 'follow']);
  const named = checkText(runId, 'runId');
  const following = { follow: checkFollowing(follow) };
  const size = checkLimit(limit, 'options.limit', DEFAULT_LIMIT, MAX_LIMIT);
  const place = cursor === undefined ? undefined : decodeHistoryCursor(cursor, 'options.cursor');
  // A run may be continued by another run between two pages. The cursor names the run, so that the
  // second page comes from the same history.
  const id = place?.runId ?? (await currentRunId(database, named, following));
  if (place && id !== named && !(following.follow && (await areOneChain(database, named, id)))) {
    throw new InvalidInputError('options.cursor', 'belongs to the history of another run');
  }
  // One entry more than requested is read, to see whether another page follows.
  const found = await readHistory(database, id, place, size + 1);
  if (found.length === 0 && (await readRunStatus(database, id)) === undefined) throw new RunNotFoundError(id);
  const page = found.slice(0, size);
  return {
    entries: page.map(({ row }) => toHistoryEntry(row, payloads)),
    cursor: found.length > size ? encodeHistoryCursor(id, page.at(-1)!.position) : undefined,
  };
}

/** @internal */
export function toHistoryEntry(row: HistoryRow, payloads: Payloads): HistoryEntry {
  const subject = row.stepKey === null ? 'output' : `output of step "${row.stepKey}"`;
  return {
    at: new Date(row.at),
    kind: row.kind,
    stepKey: row.stepKey ?? undefined,
    name: row.name ?? undefined,
    attempt: row.attempt ?? undefined,
    epoch: row.epoch ?? undefined,
    startedAt: toDate(row.startedAt),
    output: row.output === null ? undefined : payloads.decode(row.output, subject),
    error: row.error === null ? undefined : payloads.showError(row.error),
    data: row.data === null ? undefined : (JSON.parse(row.data) as Record<string, unknown>),
  };
}
