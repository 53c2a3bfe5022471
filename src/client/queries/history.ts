import { checkOptions } from '../../core/check-options.js';
import { toDate } from '../../core/duration.js';
import { InvalidInputError, RunNotFoundError } from '../../core/errors/index.js';
import { checkText } from '../../core/ids.js';
import type { Payloads } from '../../core/payloads.js';
import type { Database } from '../../store/database.js';
import { readHistory, type HistoryRow } from '../../store/sql/read-history.js';
import { areOneChain } from '../../store/sql/chains.js';
import { readRunStatus } from '../../store/sql/read-runs.js';
import { checkFollowing, currentRunId, type FollowOptions } from '../follow.js';
import { checkLimit, decodeHistoryCursor, encodeHistoryCursor } from './cursor.js';

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

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1_000;

/** @throws InvalidInputError, RunNotFoundError, QueryTimeoutError @internal */
export async function historyPage(database: Database, payloads: Payloads, runId: string, options: HistoryOptions): Promise<HistoryPage> {
  const { cursor, limit, follow } = checkOptions(options, 'options', ['cursor', 'limit', 'follow']);
  const named = checkText(runId, 'runId');
  const following = { follow: checkFollowing(follow) };
  const size = checkLimit(limit, 'options.limit', DEFAULT_LIMIT, MAX_LIMIT);
  const place = cursor === undefined ? undefined : decodeHistoryCursor(cursor, 'options.cursor');
  // A run that is continued between two pages must not have the second one read from another history.
  const id = place?.runId ?? (await currentRunId(database, named, following));
  if (place && id !== named && !(following.follow && (await areOneChain(database, named, id)))) {
    throw new InvalidInputError('options.cursor', 'is of the history of another run');
  }
  // One more than asked for tells whether there are more.
  const found = await readHistory(database, id, place, size + 1);
  if (found.length === 0 && (await readRunStatus(database, id)) === undefined) throw new RunNotFoundError(id);
  const page = found.slice(0, size);
  return {
    entries: page.map(({ row }) => toEntry(row, payloads)),
    cursor: found.length > size ? encodeHistoryCursor(id, page.at(-1)!.position) : undefined,
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
    startedAt: toDate(row.startedAt),
    output: row.output === null ? undefined : payloads.decode(row.output, subject),
    error: row.error === null ? undefined : payloads.showError(row.error),
    data: row.data === null ? undefined : (JSON.parse(row.data) as Record<string, unknown>),
  };
}
