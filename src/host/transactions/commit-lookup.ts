import type { OwnedRun } from '../../core/run.js';
import type { StepRecord } from '../../core/step.js';
import { sleep } from '../../core/timers.js';
import type { Database } from '../../store/database.js';
import { findLockedRuns } from '../../store/sql/find-locked-runs.js';
import { identifySteps } from '../../store/sql/identify-writes.js';

const FIRST_PAUSE_MS = 20;
const MAX_PAUSE_MS = 1_000;

/**
 * Finds out the outcome of a COMMIT whose answer was lost. The server may still be executing the
 * COMMIT. Until it has ended, the transaction holds its lock on the run's row, so the lookup waits
 * until no transaction holds such a lock. Repeats the lookup while the database is away.
 *
 * @param waiting the execution of the body; the lookup ends early when nobody needs its outcome
 * @returns `other` when the step has a different result from the one in the COMMIT, or when the
 *   lookup ended early
 */
export async function findCommit(
  database: Database,
  { id: runId, epoch }: Pick<OwnedRun, 'id' | 'epoch'>,
  { stepKey, seq }: Pick<StepRecord, 'stepKey' | 'seq'>,
  waiting: { readonly isAbandoned: boolean },
): Promise<'committed' | 'other' | 'nothing'> {
  for (let pause = FIRST_PAUSE_MS; !waiting.isAbandoned; pause = Math.min(pause * 2, MAX_PAUSE_MS)) {
    try {
      const locked = await findLockedRuns(database, [runId]);
      if (!locked.has(runId)) {
        const [found] = await identifySteps(database, [{ runId, stepKey }]);
        if (!found) return 'nothing';
        return found.epoch === epoch && found.seq === seq ? 'committed' : 'other';
      }
    } catch {
      // The journal and the session report that the database is away.
    }
    await sleep(pause);
  }
  return 'other';
}
