import { DatabaseUnavailableError, LeftoversError } from '../core/errors/index.js';
import { mayHaveTakenEffect } from './database-errors.js';
import { startedRun, type JournalEntry } from './journal-entry.js';

/** Marks the entries that the database may have although no answer arrived. */
export function markUncertain(entries: readonly JournalEntry[], error: unknown): void {
  if (!mayHaveTakenEffect(error)) return;
  for (const entry of entries) entry.mayBeWritten = true;
}

/** Accepts starts that were handed in before `latest`, a time from performance.now(). */
export function isOverdueStart(latest: number): (entry: JournalEntry) => boolean {
  return ({ transition, since }) => transition.kind === 'start' && since <= latest;
}

/** Creates the error of a start that is given up. */
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
 * Number of times that rows of a deleted run are removed before its id is given up. A trigger of
 * the application may keep restoring the rows.
 */
export const MAX_CLEARINGS = 5;

/** Creates the error of a start whose id still has rows of a deleted run. */
export function toLeftoversError(entry: JournalEntry): LeftoversError {
  return new LeftoversError(startedRun(entry));
}
