import type { UnwritableHealth } from '../client/queries/health.js';
import { RunNotRecordedError } from '../core/errors/index.js';
import type { Database } from '../store/database.js';

const MAX_SHOWN = 100;

/**
 * Adds the runs whose rows the database refuses to change. Statements for many runs at once leave
 * these runs out (see UnwritableRuns).
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
