import type { Database } from '../store/database.js';
import { viewRuns, type StoredRun } from '../store/sql/compare-owned-runs.js';

/** A run in this process's hands, and what the database has acknowledged of it. */
export interface OwnedRunState {
  readonly id: string;
  readonly epoch: number;
  /** Results up to this one were acknowledged. */
  readonly lastSeq: number;
  /** Its last change is on its way: the database may have it already. */
  readonly isLeaving: boolean;
}

/** What a server has of what this process believes to be durable. */
export interface Comparison {
  readonly server: string;
  readonly hasSession: boolean;
  /** How many runs lack something: their claim, a result, or all. */
  readonly lacking: number;
}

/**
 * Compares what this process has in hand with what the server that answers now has of it. Commits are lost from the end, so what came last tells whether all is there.
 *
 * @param holdings asked again at the end: what a late answer of the former server has brought meanwhile is compared as well
 */
export async function checkFailover(database: Database, sessionId: string, holdings: () => readonly OwnedRunState[]): Promise<Comparison> {
  for (;;) {
    const asked = new Set(holdings().map(({ id }) => id));
    const { server, hasSession, runs } = await viewRuns(database, sessionId, [...asked]);
    const now = holdings();
    if (!now.every(({ id }) => asked.has(id))) continue;
    return { server, hasSession, lacking: now.filter((holding) => !isThere(holding, runs.get(holding.id))).length };
  }
}

function isThere(holding: OwnedRunState, stored: StoredRun | undefined): boolean {
  if (!stored) return false;
  if (stored.isOwned && stored.epoch === holding.epoch) return stored.lastSeq >= holding.lastSeq;
  return holding.isLeaving && stored.epoch >= holding.epoch;
}
