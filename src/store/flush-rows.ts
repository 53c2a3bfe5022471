import type { Transition } from '../core/transition.js';

type Row = readonly unknown[];

/** The rows of one flush, in the columns that `sql/flush.ts` names. */
export interface FlushRows {
  readonly starts: Row[];
  readonly tags: Row[];
  readonly changes: Row[];
  readonly steps: Row[];
  readonly waits: Row[];
  readonly closedWaits: Row[];
  readonly leftovers: Row[];
  readonly events: Row[];
  readonly taken: Row[];
}

/**
 * The rows that make these transitions durable. What one statement could not do to the same row twice is merged here: of several waits of a
 * step the last counts, and a wait that ends in the flush that would open it is never written.
 */
export function toFlushRows(transitions: readonly Transition[]): FlushRows {
  const rows: FlushRows = {
    starts: [],
    tags: [],
    changes: [],
    steps: [],
    waits: [],
    closedWaits: [],
    leftovers: [],
    events: [],
    taken: [],
  };
  const waits = new Map<string, Row>();
  const started = new Set<string>();
  for (const transition of transitions) {
    switch (transition.kind) {
      case 'start': {
        const { run, owned } = transition;
        const { id, name, version, queue, priority, input, delayMs, startAt, nonce, deploymentId } = run;
        rows.starts.push([id, name, version, queue, priority, input, delayMs, startAt, nonce, deploymentId, owned]);
        // Of two starts of one id the first counts, and so do its tags.
        if (started.has(id)) break;
        started.add(id);
        for (const key of Object.keys(run.tags)) rows.tags.push([id, key, run.tags[key]]);
        break;
      }
      case 'step': {
        const { runId, epoch, step } = transition;
        rows.steps.push([
          runId,
          epoch,
          step.stepKey,
          step.kind,
          step.seq,
          step.status,
          step.output,
          step.error,
          step.attempts,
          step.calledAfter,
          step.calledAfterIo,
          step.argsHash,
          step.startedAt,
          step.finishedAt,
        ]);
        if (transition.closesWait) {
          waits.delete(waitKey(runId, step.stepKey));
          rows.closedWaits.push([runId, epoch, step.stepKey]);
        }
        if (transition.takes !== null) rows.taken.push([runId, epoch, transition.takes]);
        break;
      }
      case 'wait': {
        const { runId, epoch, wait, event } = transition;
        waits.set(waitKey(runId, wait.stepKey), [runId, epoch, wait.stepKey, wait.kind, wait.wakeAt, wait.attempts, wait.openedAt]);
        if (event) rows.events.push([runId, epoch, event.kind, event.stepKey, event.attempt, event.data]);
        break;
      }
      case 'change': {
        const { runId, epoch, change, historyBytes } = transition;
        const ended = 'output' in change;
        const parked = 'wakeCount' in change;
        if ('blockedFor' in change) rows.events.push([runId, epoch, 'blocked', null, null, change.reason]);
        if (ended && change.leftovers === 'some') {
          for (const [key, wait] of waits) if (wait[0] === runId) waits.delete(key);
          rows.leftovers.push([runId, epoch]);
        }
        rows.changes.push([
          runId,
          epoch,
          change.status,
          ended ? change.output : null,
          ended ? change.error : null,
          parked ? change.wakeAt : null,
          parked ? change.wakeCount : null,
          'blockedFor' in change ? change.blockedFor : null,
          historyBytes,
          ended ? (change.failure?.code ?? null) : null,
          ended ? (change.failure?.step ?? null) : null,
        ]);
        break;
      }
    }
  }
  rows.waits.push(...waits.values());
  rows.changes.sort(byFirstColumn);
  rows.starts.sort(byFirstColumn);
  return rows;
}

function waitKey(runId: string, stepKey: string): string {
  return `${runId}\n${stepKey}`;
}

function byFirstColumn(a: Row, b: Row): number {
  return (a[0] as string) < (b[0] as string) ? -1 : 1;
}
