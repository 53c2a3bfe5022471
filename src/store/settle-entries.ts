import { FencedError } from '../core/errors/index.js';
import type { Committed } from '../core/transition.js';
import type { Database } from './database.js';
import type { FlushRows } from './flush-rows.js';
import type { JournalEntry } from './journal.js';
import type { FlushResult } from './sql/flush.js';
import { identifyRuns, identifySteps, type RunIdentity } from './sql/verify.js';

/**
 * Tells each entry what became of it. Usually the numbers of rows say that all is well. Otherwise some were there before: put there by
 * somebody else, or by this very flush when its commit's answer was lost; every transition has an identity that tells which.
 */
export async function settleEntries(
  database: Database,
  entries: readonly JournalEntry[],
  rows: FlushRows,
  result: FlushResult,
): Promise<void> {
  const done: Committed = { outcome: 'done', at: Math.floor(result.now) };
  if (result.starts === rows.starts.length && result.steps === rows.steps.length && result.changes === rows.changes.length) {
    // Without these rows a dead session would not show in the numbers.
    for (const entry of entries) settle(entry, entry.sessionId === null || result.sessionAlive ? done : new FencedError('the session is gone'));
    return;
  }
  const runIds = entries.filter(({ transition }) => transition.kind !== 'step').map(({ transition }) => transition.runId);
  const steps = entries.flatMap(({ transition }) =>
    transition.kind === 'step' ? [{ runId: transition.runId, stepKey: transition.step.stepKey }] : [],
  );
  const [runs, recorded] = await Promise.all([
    identifyRuns(database, runIds),
    steps.length > 0 ? identifySteps(database, steps) : [],
  ]);
  const identities = new Map(recorded.map((step) => [`${step.runId}\n${step.stepKey}`, `${step.epoch}/${step.seq}`]));

  for (const entry of entries) {
    const { transition } = entry;
    switch (transition.kind) {
      case 'start':
        settle(entry, startOutcome(runs.get(transition.runId), transition.run.nonce, done));
        break;
      case 'step': {
        const mine = identities.get(`${transition.runId}\n${transition.step.stepKey}`) === `${transition.epoch}/${transition.step.seq}`;
        settle(entry, mine ? done : lost(transition.runId));
        break;
      }
      case 'change': {
        const run = runs.get(transition.runId);
        if (!result.sessionAlive || !run) settle(entry, lost(transition.runId));
        else if (run.status === 'running' && run.sessionId === entry.sessionId && run.epoch === transition.epoch) {
          settle(entry, { outcome: 'moved', wakeCount: run.wakeCount });
        } else {
          // While the session lives nobody else takes its runs: that it is no longer ours is this flush's doing.
          settle(entry, done);
        }
        break;
      }
      case 'wait':
        settle(entry, result.sessionAlive ? done : lost(transition.runId));
        break;
    }
  }
}

function startOutcome(run: RunIdentity | undefined, nonce: string, done: Committed): Committed | Error {
  if (!run) return new FencedError('the session is gone');
  if (run.nonce === nonce) return done;
  return { outcome: 'exists', name: run.name, status: run.status };
}

function lost(runId: string): FencedError {
  return new FencedError(`run "${runId}" is not this session's`);
}

function settle(entry: JournalEntry, outcome: Committed | Error): void {
  if (outcome instanceof Error) entry.failed(outcome);
  else entry.done(outcome);
}
