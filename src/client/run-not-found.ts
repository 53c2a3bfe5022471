import { RunNotFoundError } from '../core/errors/index.js';
import type { Database } from '../store/database.js';
import { findMissingLinks } from '../store/sql/chains.js';

/** The error for a run that was not found. Names the deleted run where a chain of continued runs has lost its last one. */
export async function runNotFound(database: Database, runId: string): Promise<RunNotFoundError> {
  return new RunNotFoundError(runId, (await findMissingLinks(database, [runId])).get(runId));
}
