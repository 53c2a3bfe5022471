import type { HistoryEntry } from '../client/queries/history.js';
import { errorLine, type Segment, type Style } from './printer.js';
import { duration, exactTime } from './times.js';

/** Ends of steps, waits and runs whose entries show a failure. */
const FAILED = /_failed$|^(?:worker_lost|blocked|terminated|timed_out|payload_dropped)$/;

/** Words of kinds that operators do not read in the past tense otherwise. */
const WORDS: Readonly<Record<string, string>> = { wait_open: 'waiting', continued_as_new: 'continued' };

/** Returns an entry of a run's history as the cells of a table: time, event, subject, details. */
export function timelineCells(entry: HistoryEntry): Segment[] {
  return [[exactTime(entry.at), 'dim'], eventOf(entry), entry.stepKey ?? entry.name ?? '', detailsOf(entry)];
}

function eventOf({ kind }: HistoryEntry): Segment {
  const text = WORDS[kind] ?? kind.replaceAll('_', ' ');
  const style: Style | undefined = FAILED.test(kind) ? 'red' : kind.endsWith('_completed') ? 'green' : undefined;
  return style === undefined ? text : [text, style];
}

function detailsOf({ kind, at, startedAt, attempt, stepKey, name, error, data }: HistoryEntry): string {
  const parts: string[] = [];
  if (kind === 'wait_open') parts.push(...waitDetails(data));
  else if (startedAt !== undefined) parts.push(duration(at.getTime() - startedAt.getTime()));
  if (attempt !== undefined && /^(?:step|attempt)_/.test(kind))
    parts.push(kind === 'attempt_failed' ? `attempt ${attempt}` : attemptsOf(attempt));
  if (stepKey !== undefined && name !== undefined) parts.push(name);
  if (error !== undefined) parts.push(errorLine(error));
  if (kind !== 'wait_open') parts.push(...Object.entries(data ?? {}).flatMap(([key, value]) => textOf(key, value)));
  return parts.join(', ');
}

function attemptsOf(attempts: number): string {
  return attempts === 1 ? '1 attempt' : `${attempts} attempts`;
}

function waitDetails(data: Record<string, unknown> | undefined): string[] {
  const { wait, wakeAt } = data ?? {};
  const until = typeof wakeAt === 'number' ? [`until ${exactTime(new Date(wakeAt))}`] : [];
  return [`for a ${String(wait)}`, ...until];
}

/** Shows a detail of an entry, such as who did it and why; nothing for an absent or nested one. */
function textOf(key: string, value: unknown): string[] {
  return typeof value === 'string' || typeof value === 'number' ? [`${key} ${value}`] : [];
}
