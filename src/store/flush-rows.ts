import type { NewRun, OwnedRun } from '../core/run.js';
import { PARENT_CANCELLED, type Transition } from '../core/transition.js';

type Row = readonly unknown[];

/** Rows of one flush, in the columns that `sql/flush.ts` names. */
export interface FlushRows {
  readonly starts: Row[];
  /** The starts of a flush in which any run has an id that an earlier run may have had. */
  readonly checkedStarts: Row[];
  readonly tags: Row[];
  readonly changes: Row[];
  readonly steps: Row[];
  readonly waits: Row[];
  readonly closedWaits: Row[];
  readonly leftovers: Row[];
  readonly events: Row[];
  readonly taken: Row[];
  /** Payloads that did not fit their hooks. They are among `taken` too. */
  readonly dropped: Row[];
  /** Runs that other runs start. They are written only while this session owns their starter. */
  readonly successors: Row[];
  /**
   * The successors of a flush in which any successor has an id that an earlier run may have had.
   */
  readonly checkedSuccessors: Row[];
  readonly successorTags: Row[];
  readonly states: Row[];
  /**
   * Messages that ended child runs leave with their parents, and cancelled parents with their
   * children.
   */
  readonly sent: Row[];
  /** Runs whose unread messages move to the run that continues them. */
  readonly movedOn: Row[];
}

/**
 * Builds the rows that make these transitions durable. One statement cannot change the same row
 * twice, so such changes are merged here. Of several waits of a step the last one counts. A wait
 * that ends in the flush that would open it is never written.
 */
export function toFlushRows(transitions: readonly Transition[]): FlushRows {
  const rows: FlushRows = {
    starts: [],
    checkedStarts: [],
    tags: [],
    changes: [],
    steps: [],
    waits: [],
    closedWaits: [],
    leftovers: [],
    events: [],
    taken: [],
    dropped: [],
    successors: [],
    checkedSuccessors: [],
    successorTags: [],
    states: [],
    sent: [],
    movedOn: [],
  };
  const waits = new Map<string, Row>();
  const states = new Map<string, Row>();
  const started = new Set<string>();
  const given = { starts: false, successors: false };
  const closeWait = ({ runId, epoch, stepKey }: { readonly runId: string; readonly epoch: number; readonly stepKey: string }): void => {
    waits.delete(waitKey(runId, stepKey));
    rows.closedWaits.push([runId, epoch, stepKey]);
  };
  for (const transition of transitions) {
    switch (transition.kind) {
      case 'start': {
        const { run, owned } = transition;
        const { id } = run;
        rows.starts.push([...startColumns(run), owned, run.parentRunId ?? null]);
        if (run.hasGivenId) given.starts = true;
        // Of two starts with the same id the first one counts, and so do its tags.
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
          closeWait({ runId, epoch, stepKey: step.stepKey });
        }
        if (transition.takes !== null) rows.taken.push([runId, epoch, transition.takes]);
        break;
      }
      case 'wait': {
        const { runId, epoch, wait, event, child } = transition;
        const { stepKey, kind, wakeAt, attempts, openedAt, name } = wait;
        waits.set(waitKey(runId, stepKey), [runId, epoch, stepKey, kind, wakeAt, attempts, openedAt, name]);
        if (child) {
          rows.successors.push(successorOf(child, runId, epoch, 'child'));
          if (child.hasGivenId) given.successors = true;
          for (const key of Object.keys(child.tags)) rows.successorTags.push([child.id, key, child.tags[key]]);
        }
        if (event) rows.events.push([runId, epoch, event.kind, event.stepKey, event.attempt, event.data]);
        break;
      }
      case 'closeWait':
        closeWait(transition);
        break;
      case 'cancelChild':
        closeWait(transition);
        rows.sent.push([transition.runId, transition.epoch, transition.childId, 'cancel', null, CANCEL_REQUEST]);
        break;
      case 'drop': {
        const { runId, epoch, messageId, event } = transition;
        rows.taken.push([runId, epoch, messageId]);
        rows.dropped.push([runId, epoch, messageId, event?.stepKey ?? null, event?.data ?? null]);
        break;
      }
      case 'state':
        states.set(waitKey(transition.runId, transition.key), [transition.runId, transition.epoch, transition.key, transition.value]);
        break;
      case 'change': {
        const { runId, epoch, change, historyBytes } = transition;
        const ended = 'output' in change;
        const suspended = 'wakeCount' in change;
        if ('blockedFor' in change) rows.events.push([runId, epoch, 'blocked', null, null, change.reason]);
        const next = ended ? change.continuedAs : undefined;
        if (next) {
          // The wake counter of the new run says that messages may wait: those that move to it.
          rows.successors.push(successorOf({ ...next, ...inherited(ended ? change.parent : null) }, runId, epoch, 'continuation'));
          rows.movedOn.push([runId, epoch, next.id]);
        } else if (ended && change.parent) {
          const kind = change.status === 'completed' ? 'child' : 'child_failed';
          rows.sent.push([runId, epoch, change.parent.runId, kind, change.parent.stepKey, change.output ?? change.error]);
        }
        if (ended && (change.leftovers === 'some' || next)) {
          for (const [key, wait] of waits) if (wait[0] === runId) waits.delete(key);
          if (!next) rows.leftovers.push([runId, epoch, change.status === 'failed']);
        }
        rows.changes.push([
          runId,
          epoch,
          change.status,
          ended ? change.output : null,
          ended ? change.error : null,
          suspended ? change.wakeAt : null,
          suspended ? change.wakeCount : null,
          'blockedFor' in change ? change.blockedFor : null,
          historyBytes,
          ended ? (change.failure?.code ?? null) : null,
          ended ? (change.failure?.step ?? null) : null,
          next?.id ?? null,
        ]);
        break;
      }
    }
  }
  rows.waits.push(...waits.values());
  rows.states.push(...states.values());
  rows.changes.sort(byFirstColumn);
  rows.starts.sort(byFirstColumn);
  if (given.starts) moveAll(rows.starts, rows.checkedStarts);
  if (given.successors) moveAll(rows.successors, rows.checkedSuccessors);
  return rows;
}

function moveAll(from: Row[], to: Row[]): void {
  to.push(...from.splice(0));
}

const CANCEL_REQUEST = JSON.stringify({ reason: PARENT_CANCELLED });

function startColumns(run: NewRun): unknown[] {
  const { id, name, version, queue, priority, input, delayMs, startAt, nonce, deploymentId, timeoutMs = null } = run;
  return [id, name, version, queue, priority, input, delayMs, startAt, nonce, deploymentId, timeoutMs];
}

function successorOf(run: NewRun, starterId: string, starterEpoch: number, as: 'child' | 'continuation'): Row {
  const continues = as === 'continuation';
  const links = [run.parentRunId ?? null, run.parentStepKey ?? null, continues ? starterId : null];
  return [...startColumns(run), ...links, continues ? 1 : 0, starterId, starterEpoch];
}

/**
 * Links of a continued run to its parent. A parent that waits for the run then waits for its
 * continuation.
 */
function inherited(parent: OwnedRun['parent'] | undefined): Partial<NewRun> {
  return parent ? { parentRunId: parent.runId, parentStepKey: parent.stepKey } : {};
}

function waitKey(runId: string, stepKey: string): string {
  return `${runId}\n${stepKey}`;
}

function byFirstColumn(a: Row, b: Row): number {
  return (a[0] as string) < (b[0] as string) ? -1 : 1;
}
