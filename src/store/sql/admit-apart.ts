import type { DueRun } from '../../core/run.js';
import type { Database, Statement } from '../database.js';

/**
 * Largest number of runs that one statement admits. Each takes a subtransaction, of which
 * PostgreSQL keeps 64 in memory.
 */
const MOST_RUNS = 50;

/** Gives places to runs one by one. Does not wait for the disk, as in `admit-runs.ts`. */
const ADMIT: Statement = {
  name: 'durable_admit_apart',
  text: (schema, lockTimeout) => `SELECT a.more_ms, (a.run).id, (a.run).name, (a.run).version, a.refused
FROM ${schema}.workflow_admit_apart($1, NULL, ${MOST_RUNS}, $2, NULL, '', 0, '{}', '{}', '') AS a${lockTimeout && ` WHERE true${lockTimeout}`}`,
};

type ApartRow = [more: number | null, id: string | null, name: string, version: number, refused: string | null];

/** Runs that got a place although the database refuses to change other runs of their queue. */
export interface ApartAdmission {
  readonly runs: readonly DueRun[];
  /** Number of runs that the database has refused to change. */
  readonly refused: number;
  readonly moreMs: number | undefined;
}

/**
 * Gives free places of a queue to the runs that wait for them, and passes over runs that the
 * database refuses to change. Notes these runs in `database.unwritable`.
 *
 * @param aheadMs how long before its slot of a rate limit a run is admitted
 */
export async function admitApart(database: Database, queue: string, aheadMs: number): Promise<ApartAdmission> {
  const { unwritable } = database;
  const runs: DueRun[] = [];
  const refusals = new Map<string, string>();
  let moreMs: number | undefined;
  for (const [more, id, name, version, refused] of await database.query<ApartRow>(ADMIT, [queue, aheadMs])) {
    if (id === null) moreMs = more ?? undefined;
    else if (refused === null) runs.push({ id, queue, name, version, isAdmitted: true });
    else refusals.set(id, refused);
  }
  noteAdmitted(database, runs);
  for (const [id, message] of refusals) unwritable.refused(ADMIT.name, id, new Error(message));
  return { runs, refused: refusals.size, moreMs };
}

/** Forgets that the database has refused to admit these runs. */
export function noteAdmitted(database: Database, runs: readonly { readonly id: string }[]): void {
  for (const { id } of runs) database.unwritable.written(ADMIT.name, id);
}
