import type { Database } from '../store/database.js';
import { viewRuns, type StoredRun } from '../store/sql/compare-owned-runs.js';

/** A run that this process executes, with the last result that the database acknowledged. */
export interface OwnedRunState {
  readonly id: string;
  readonly epoch: number;
  /** Sequence number of the last acknowledged result. */
  readonly lastSeq: number;
  /**
   * True when this process has sent the change that ends its ownership of the run, such as a
   * suspension. The database may already have that change.
   */
  readonly isLeaving: boolean;
}

/** Result of comparing a server with the state that this process believes to be durable. */
export interface Comparison {
  readonly server: string;
  readonly hasSession: boolean;
  /** Number of runs for which the server lacks the row, the claim or the last results. */
  readonly lacking: number;
}

/**
 * Compares the runs of this process with the rows on the server that answers now. A failover can
 * lose only the most recent commits. A server that has the last commit of a run therefore has all
 * earlier commits of the run.
 *
 * @param ownedRuns returns the runs to compare. Called before and after each query. If a late
 *   answer to a claim has added runs during the query, the query is repeated
 */
export async function checkFailover(database: Database, sessionId: string, ownedRuns: () => readonly OwnedRunState[]): Promise<Comparison> {
  for (;;) {
    const queried = new Set(ownedRuns().map(({ id }) => id));
    const { server, hasSession, runs } = await viewRuns(database, sessionId, [...queried]);
    const now = ownedRuns();
    if (!now.every(({ id }) => queried.has(id))) continue;
    return { server, hasSession, lacking: now.filter((run) => !isComplete(run, runs.get(run.id))).length };
  }
}

function isComplete(run: OwnedRunState, stored: StoredRun | undefined): boolean {
  if (!stored) return false;
  if (stored.isOwned && stored.epoch === run.epoch) return stored.lastSeq >= run.lastSeq;
  return run.isLeaving && stored.epoch >= run.epoch;
}
