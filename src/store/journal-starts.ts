import { DatabaseUnavailableError, LeftoversError } from '../core/errors/index.js';
import { mayHaveTakenEffect } from './database-errors.js';
import { startedRun, type JournalEntry } from './journal-entry.js';

/** Marks entries that the database may contain, although the flush that contained them failed. */
export function markUncertain(entries: readonly JournalEntry[], error: unknown): void {
  if (!mayHaveTakenEffect(error)) return;
  for (const entry of entries) entry.mayBeWritten = true;
}

/**
 * Creates a filter for starts that were handed in before `latest`, a time from performance.now().
 */
export function isOverdueStart(latest: number): (entry: JournalEntry) => boolean {
  return ({ transition, since }) => transition.kind === 'start' && since <= latest;
}

/** Creates the error for a start that the journal no longer tries. */
export function toStartError({ transition: { runId }, mayBeWritten }: JournalEntry, cause: unknown): DatabaseUnavailableError {
  const why = cause instanceof Error ? cause.message : 'no answer';
  if (!mayBeWritten) {
    return new DatabaseUnavailableError(`run "${runId}" could not be started, and nothing was written: ${why}`, { cause });
  }
  return new DatabaseUnavailableError(
    `run "${runId}" may or may not have been started: the database did not answer (${why}). Start it again with options.id "${runId}": ` +
      'a second start with the same id never makes a second run',
    { cause, mayHaveTakenEffect: true },
  );
}

/**
 * Maximum number of times that a start removes rows of a deleted run with the same id. If the rows
 * return each time, for example because of the application's trigger, the start fails.
 */
export const MAX_CLEARINGS = 5;

/** Creates the error for a start that failed because rows of a deleted run still have its id. */
export function toLeftoversError(entry: JournalEntry): LeftoversError {
  return new LeftoversError(startedRun(entry));
}
