import { FencedError } from '../core/errors/index.js';
import { isTerminal } from '../core/run.js';
import type { Committed } from '../core/transition.js';
import type { Database } from './database.js';
import type { FlushRows } from './flush-columns.js';
import type { JournalEntry } from './journal-entry.js';
import type { FlushResult } from './sql/flush.js';
import { sharedKeyOf, sharedRunOf } from './shared-starts.js';
import { identifyRuns, identifySteps, type RunIdentity } from './sql/identify-writes.js';

/**
 * Outcome of an entry that starts a run and was not written, because rows of a deleted run with the
 * same id still exist.
 */
export const WITHHELD = 'withheld';

/**
 * Outcome of a start that must be written once more, because the run that counts was created after
 * the statement began.
 */
export const AGAIN = 'again';

export type Outcome = Committed | Error | typeof WITHHELD | typeof AGAIN;

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
  const shared = (result.shared || result.batched) && sharedOutcomes(entries, result);
  if (
    !shared?.hasExisting &&
    result.starts === rows.starts.length + rows.checkedStarts.length &&
    result.steps === rows.steps.length + rows.undoableSteps.length &&
    result.changes === rows.changes.length &&
    result.startsByRuns === rows.startsByRuns.length + rows.checkedStartsByRuns.length &&
    result.streamChunks === rows.streamChunks.length
  ) {
    // The row counts do not include waits, so a wait counts as written while the session is alive.
    const written = ({ sessionId, transition }: JournalEntry): Outcome =>
      sessionId === null || result.sessionAlive ? done : lost(transition.runId);
    return entries.map((entry) => shared?.outcomes.get(entry) ?? written(entry));
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

  return entries.map((entry) => {
    const { transition, sessionId } = entry;
    const { runId } = transition;
    const decided = shared?.outcomes.get(entry);
    if (decided) return decided;
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
 * Determines the outcomes of starts that share a run. Starts with `debounce` or `throttle` and the
 * same key share a row, which has the id of the first one.
 *
 * @returns no outcome for a start whose id belongs to an existing run: `hasExisting` is then true
 */
function sharedOutcomes(
  entries: readonly JournalEntry[],
  { shared, batched }: FlushResult,
): { readonly outcomes: ReadonlyMap<JournalEntry, Outcome>; readonly hasExisting: boolean } {
  const firstIds = new Map<string, string>();
  const outcomes = new Map<JournalEntry, Outcome>();
  let hasExisting = false;
  for (const entry of entries) {
    const member = batched?.get(entry.transition.runId);
    if (member) {
      const { verdict, announcedId, wakeAt } = member;
      const announced = announcedId === null ? null : { id: announcedId, ...(wakeAt === null ? {} : { wakeAt }) };
      if (verdict === 'exists') hasExisting = true;
      else outcomes.set(entry, verdict === 'again' ? AGAIN : verdict === 'withheld' ? WITHHELD : { outcome: 'batched', announced });
      continue;
    }
    const run = sharedRunOf(entry.transition);
    if (!run) continue;
    const key = sharedKeyOf(run);
    if (!firstIds.has(key)) firstIds.set(key, run.id);
    const { verdict, runId, name, nonce, dueAt } = shared!.get(firstIds.get(key)!)!;
    if (verdict === 'exists' && runId === run.id) hasExisting = true;
    else if (verdict === 'again' || verdict === 'exists') outcomes.set(entry, AGAIN);
    else if (verdict === 'withheld') outcomes.set(entry, WITHHELD);
    else outcomes.set(entry, { outcome: 'shared', runId, name, created: nonce === run.nonce, wakeAt: dueAt });
  }
  return { outcomes, hasExisting };
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
