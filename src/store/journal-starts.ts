import type { NewEvent } from '../core/event.js';
import { DatabaseUnavailableError, LeftoversError } from '../core/errors/index.js';
import { mayHaveTakenEffect } from './database-errors.js';
import { startedRun, type JournalEntry } from './journal-entry.js';

/** Marks entries that the database may contain, although the flush that contained them failed. */
export function markUncertain(entries: readonly JournalEntry[], error: unknown): void {
  if (!mayHaveTakenEffect(error)) return;
  for (const entry of entries) entry.mayBeWritten = true;
}

/** True for transitions whose callers wait for the outcome, and which belong to no owned run. */
export function isFromCaller({ transition: { kind } }: JournalEntry): boolean {
  return kind === 'start' || kind === 'emit';
}

/**
 * Creates a filter for starts and emits that were handed in before `latest`, a time from
 * performance.now().
 */
export function isOverdueStart(latest: number): (entry: JournalEntry) => boolean {
  return (entry) => isFromCaller(entry) && entry.since <= latest;
}

/** Creates the error for a start that the journal no longer tries. */
export function toStartError({ transition, mayBeWritten }: JournalEntry, cause: unknown): DatabaseUnavailableError {
  const { runId } = transition;
  const why = cause instanceof Error ? cause.message : 'no answer';
  if (transition.kind === 'emit') return toEmitError(transition.event, mayBeWritten === true, why, cause);
  if (!mayBeWritten) {
    return new DatabaseUnavailableError(`run "${runId}" could not be started, and nothing was written: ${why}`, { cause });
  }
  return new DatabaseUnavailableError(
    `run "${runId}" may or may not have been started: the database did not answer (${why}). Start it again with options.id "${runId}": ` +
      'a second start with the same id never makes a second run',
    { cause, mayHaveTakenEffect: true },
  );
}

function toEmitError({ name, id }: NewEvent, mayBeWritten: boolean, why: string, cause: unknown): DatabaseUnavailableError {
  const event = `event "${name}" with the id "${id}"`;
  if (!mayBeWritten) return new DatabaseUnavailableError(`${event} could not be emitted, and nothing was written: ${why}`, { cause });
  return new DatabaseUnavailableError(
    `${event} may or may not have been emitted: the database did not answer (${why}). Emit it again with the same options.id: ` +
      'a second emit with the same id never makes a second event',
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
