import { performance } from 'node:perf_hooks';

import { DatabaseUnavailableError, RunNotEndedError, RunNotFoundError } from '../../core/errors/index.js';
import { isTerminal } from '../../core/run.js';
import { sleep } from '../../core/timers.js';
import type { Database } from '../../store/database.js';
import { readDeletable } from '../../store/sql/run-trees.js';
import { deleteAllOrNone } from '../../store/whole-deletion.js';

/** Pause before another try, when a run to delete has just ended or was just retried. */
const PAUSE_MS = 200;
const GIVE_UP_AFTER_MS = 10_000;

/**
 * Deletes an ended run with everything that belongs to it: the other runs of its chain, its ended
 * children and theirs. Deletes all of them or none.
 *
 * @returns the number of deleted runs
 * @throws RunNotFoundError, RunNotEndedError
 */
export async function deleteRun(database: Database, runId: string): Promise<number> {
  for (const until = performance.now() + GIVE_UP_AFTER_MS; ;) {
    const current = await readDeletable(database, runId);
    if (!current) throw new RunNotFoundError(runId);
    if (current.status !== null && !isTerminal(current.status)) throw new RunNotEndedError(current.id, current.status);
    const ids = [...new Set([runId, current.id])];
    const { deleted, incomplete } = await database.rowLockQueues.inTurn(runId, (whileLocked) =>
      whileLocked(() => database.transaction((client) => deleteAllOrNone(database, ids, 'fail', client))),
    );
    if (incomplete.size === 0 && deleted.size > 0) return deleted.size;
    if (performance.now() > until)
      throw new DatabaseUnavailableError(`run "${runId}" could not be deleted: the database keeps its row, or that of a run below it`);
    await sleep(PAUSE_MS);
  }
}
