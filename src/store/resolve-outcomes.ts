import { FencedError } from '../core/errors/index.js';
import { isTerminal } from '../core/run.js';
import type { Committed } from '../core/transition.js';
import type { Database } from './database.js';
import type { FlushRows } from './flush-columns.js';
import type { JournalEntry } from './journal-entry.js';
import type { FlushResult } from './sql/flush.js';
import { identifyRuns, identifySteps, type RunIdentity } from './sql/identify-writes.js';

/**
 * Outcome of an entry that starts a run and was not written, because rows of a deleted run with the
 * same id still exist.
 */
export const WITHHELD = 'withheld';

export type Outcome = Committed | Error | typeof WITHHELD;

/**
 * Determines the outcome of each entry. Usually the row counts show that everything was written.
 * Otherwise this session does not own some of the runs, or some rows existed before the flush. Such
 * rows come from another process, or from an earlier try of this flush whose response was lost. The
 * identity of each transition distinguishes these cases.
 */
export async function resolveOutcomes(
  database: Database,
  entries: readonly JournalEntry[],
  rows: FlushRows,
  result: FlushResult,
): Promise<Outcome[]> {
  const done: Committed = { outcome: 'done', at: Math.floor(result.now) };
  if (
    result.starts === rows.starts.length + rows.checkedStarts.length &&
    result.steps === rows.steps.length + rows.undoableSteps.length &&
    result.changes === rows.changes.length &&
    result.startsByRuns === rows.startsByRuns.length + rows.checkedStartsByRuns.length &&
    result.streamChunks === rows.streamChunks.length
  ) {
    // The row counts do not include waits, so a wait counts as written while the session is alive.
    return entries.map(({ sessionId, transition }) => (sessionId === null || result.sessionAlive ? done : lost(transition.runId)));
  }
  const runIds = entries.flatMap(({ transition }) =>
    transition.kind === 'step'
      ? []
      : 'child' in transition && transition.child
        ? [transition.runId, transition.child.id]
        : [transition.runId],
  );
  const steps = entries.flatMap(({ transition }) =>
    transition.kind === 'step' ? [{ runId: transition.runId, stepKey: transition.step.stepKey }] : [],
  );
  const [runs, recorded] = await Promise.all([identifyRuns(database, runIds), identifySteps(database, steps)]);
  const recordedBy = new Map(recorded.map((step) => [`${step.runId}\n${step.stepKey}`, `${step.epoch}/${step.seq}`]));

  return entries.map(({ transition, sessionId }) => {
    const { runId } = transition;
    const run = runs.get(runId);
    switch (transition.kind) {
      case 'start':
        return startOutcome(run, transition.run.nonce, done, !transition.owned || result.sessionAlive);
      case 'step': {
        const { step, epoch } = transition;
        return recordedBy.get(`${runId}\n${step.stepKey}`) === `${epoch}/${step.seq}` ? done : lost(runId);
      }
      case 'change':
        // A lower epoch in the database means that a failover has lost this process's claim of the
        // run.
        if (!result.sessionAlive || !run || run.epoch < transition.epoch) return lost(runId);
        if (run.status === 'running' && run.sessionId === sessionId && run.epoch === transition.epoch) {
          return { outcome: 'moved', wakeCount: run.wakeCount };
        }
        if (isTerminal(transition.change.status) && run.epoch === transition.epoch && run.status !== transition.change.status)
          return lost(runId);
        // No other process takes the runs of a living session. So if this session no longer owns
        // the run, an earlier try of this flush has changed it.
        return done;
      case 'chunks':
        // Chunks that were not inserted existed: an earlier try of this flush, or an earlier pass,
        // has written them.
        return result.sessionAlive && run?.epoch === transition.epoch ? done : lost(runId);
      case 'emit':
        return done;
      case 'wait':
        if (!result.sessionAlive || run?.epoch !== transition.epoch) return lost(runId);
        if (!transition.child) return done;
        return startOutcome(runs.get(transition.child.id), transition.child.nonce, done, run.sessionId === sessionId);
      default:
        return result.sessionAlive ? done : lost(runId);
    }
  });
}

/**
 * Determines the outcome of starting a run.
 *
 * @param mayStart true when the start needed no session, or when the session was allowed to start
 * the run
 */
function startOutcome(run: RunIdentity | undefined, nonce: string, done: Committed, mayStart: boolean): Outcome {
  if (!run) return mayStart ? WITHHELD : new FencedError('the session has ended');
  if (run.nonce === nonce) return done;
  return { outcome: 'exists', name: run.name, status: run.status, parentRunId: run.parentRunId };
}

function lost(runId: string): FencedError {
  return new FencedError(`this session does not own run "${runId}"`);
}
