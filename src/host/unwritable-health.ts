import type { UnwritableHealth } from '../client/queries/health.js';
import { RunNotRecordedError } from '../core/errors/index.js';
import type { Database } from '../store/database.js';

const MAX_SHOWN = 100;

/**
 * Returns `own`, the unwritable runs of the worker, and further unwritable runs. The database
 * refused to change these in statements over many runs, which now leave them out (see
 * UnwritableRuns).
 */
export function withSetAside(own: readonly UnwritableHealth[], database: Database): UnwritableHealth[] {
  const shown = new Set(own.map(({ runId }) => runId));
  const others = database.unwritable.list(MAX_SHOWN).filter(({ runId }) => !shown.has(runId));
  const found = others.map(({ runId, since, error }) => ({
    runId,
    since,
    error: new RunNotRecordedError(runId, { cause: error as Error }),
  }));
  return [...own, ...found].slice(0, MAX_SHOWN);
}
