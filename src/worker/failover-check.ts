import type { Database } from '../store/database.js';
import { viewRuns, type StoredRun } from '../store/sql/compare-owned-runs.js';

/** A run that this process executes, and the last of its results that the database acknowledged. */
export interface OwnedRunState {
  readonly id: string;
  readonly epoch: number;
  /** Number of the last acknowledged result. */
  readonly lastSeq: number;
  /** True when the run's last change is in flight: the database may already have it. */
  readonly isLeaving: boolean;
}

/** Comparison of a server with what this process believes to be durable. */
export interface Comparison {
  readonly server: string;
  readonly hasSession: boolean;
  /** Number of runs whose claim, last results or whole row the server lacks. */
  readonly lacking: number;
}

/**
 * Compares the runs of this process with what the server that answers now has of them. A failover
 * loses the last commits, so the last commit of a run shows whether all of the run is there.
 *
 * @param ownedRuns called again after the query, so that runs which a late answer of the former
 *   server added meanwhile are compared too
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
