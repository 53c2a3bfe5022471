import type { MessageKind } from '../core/message-kinds.js';
import type { OwnedRun, NewRun } from '../core/run.js';
import { PARENT_CANCELLED, type Transition } from '../core/transition.js';
import type { ListenedEvents } from './listened-events.js';
import { eventsOf } from './event-rows.js';
import { addMember, addSharedRows } from './shared-starts.js';
import {
  changeRow,
  chunkRows,
  emittedRow,
  eventWaitRow,
  logRow,
  stepRow,
  undoableStepRow,
  waitRow,
  type FlushRows,
} from './flush-columns.js';
import { startByRunRow, startRow } from './start-columns.js';

const CANCEL_REQUEST = JSON.stringify({ reason: PARENT_CANCELLED });

/**
 * Builds the rows that make these transitions durable. One statement cannot change the same row
 * twice, so changes of the same row are merged here. The last of several waits of one step wins. A
 * wait that opens and ends in the same flush is not written.
 *
 * @param listened run events to record (default: none)
 */
export function toFlushRows(transitions: readonly Transition[], listened?: ListenedEvents): FlushRows {
  const rows: FlushRows = {
    starts: [],
    checkedStarts: [],
    sharedStarts: [],
    batchMembers: [],
    startsByRuns: [],
    checkedStartsByRuns: [],
    tags: [],
    memberTags: [],
    sharedTags: [],
    childTags: [],
    changes: [],
    steps: [],
    undoableSteps: [],
    waits: [],
    closedWaits: [],
    endedRuns: [],
    logEntries: [],
    states: [],
    messages: [],
    continuedRuns: [],
    droppedPayloads: [],
    takenMessages: [],
    ...eventsOf(transitions, listened),
    streamChunks: [],
    emitted: [],
    receivedEvents: [],
    continuedReceivers: [],
    eventWaits: [],
  };
  const waits = new Map<string, FlushRows['waits'][number]>();
  const eventWaits = new Map<string, FlushRows['eventWaits'][number]>();
  const states = new Map<string, FlushRows['states'][number]>();
  const started = new Set<string>();
  const given = { starts: false, startsByRuns: false };
  let hasUndoable = false;
  let hasShared = false;
  const closeWait = ({ runId, epoch, stepKey }: { readonly runId: string; readonly epoch: number; readonly stepKey: string }): void => {
    waits.delete(waitKey(runId, stepKey));
    eventWaits.delete(waitKey(runId, stepKey));
    rows.closedWaits.push([runId, epoch, stepKey]);
  };
  for (const transition of transitions) {
    switch (transition.kind) {
      case 'start': {
        const { run } = transition;
        const { id } = run;
        if (run.shared) {
          hasShared = true;
          break;
        }
        if (run.batch) {
          if (!started.has(id)) addMember(run, run.batch, rows);
          started.add(id);
          break;
        }
        rows.starts.push(startRow(transition));
        if (run.hasGivenId) given.starts = true;
        // When two transitions start a run with the same id, the first one wins, together with its
        // tags.
        if (started.has(id)) break;
        started.add(id);
        for (const key of Object.keys(run.tags)) rows.tags.push([id, key, run.tags[key]!]);
        break;
      }
      case 'step': {
        const { runId, epoch, step } = transition;
        rows.steps.push(stepRow(transition));
        if (step.compensateArgs !== undefined) hasUndoable = true;
        if (transition.closesWait) closeWait({ runId, epoch, stepKey: step.stepKey });
        if (transition.event !== undefined) rows.receivedEvents.push([runId, epoch, step.stepKey, transition.event]);
        if (transition.takes !== null) rows.takenMessages.push([runId, epoch, transition.takes]);
        break;
      }
      case 'wait': {
        const { runId, epoch, wait, event, child } = transition;
        if (wait.event) eventWaits.set(waitKey(runId, wait.stepKey), eventWaitRow(transition, wait.event));
        else waits.set(waitKey(runId, wait.stepKey), waitRow(transition));
        if (child) {
          rows.startsByRuns.push(startByRunRow(child, transition, 'child'));
          if (child.hasGivenId) given.startsByRuns = true;
          for (const key of Object.keys(child.tags)) rows.childTags.push([child.id, key, child.tags[key]!]);
        }
        if (event) rows.logEntries.push(logRow(runId, epoch, event));
        break;
      }
      case 'emit':
        rows.emitted.push(emittedRow(transition));
        break;
      case 'closeWait':
        closeWait(transition);
        break;
      case 'cancelChild':
        if (transition.stepKey !== null) closeWait({ ...transition, stepKey: transition.stepKey });
        rows.messages.push([transition.runId, transition.epoch, transition.childId, 'cancel', null, CANCEL_REQUEST]);
        break;
      case 'drop': {
        const { runId, epoch, messageId, event } = transition;
        rows.takenMessages.push([runId, epoch, messageId]);
        rows.droppedPayloads.push([runId, epoch, messageId, event?.stepKey ?? null, event?.data ?? null]);
        break;
      }
      case 'state':
        states.set(waitKey(transition.runId, transition.key), [transition.runId, transition.epoch, transition.key, transition.value]);
        break;
      case 'chunks':
        rows.streamChunks.push(...chunkRows(transition));
        break;
      case 'change': {
        const { runId, epoch, change } = transition;
        const ended = 'output' in change;
        if ('blockedFor' in change) rows.logEntries.push([runId, epoch, 'blocked', null, null, change.reason]);
        const next = ended ? change.continuedAs : undefined;
        if (next) {
          const continuation = { ...next, ...inherited(ended ? change.parent : null) };
          rows.startsByRuns.push(startByRunRow(continuation, transition, 'continuation'));
          rows.continuedRuns.push([runId, epoch, next.id]);
          if (ended && change.hasReceivedEvents) {
            const received = rows.receivedEvents.flatMap(([by, , , event]) => (by === runId ? [event] : []));
            for (const event of [null, ...received]) rows.continuedReceivers.push([runId, epoch, next.id, event]);
          }
        } else if (ended && change.parent) {
          const kind: MessageKind = change.status === 'completed' ? 'child' : 'child_failed';
          rows.messages.push([runId, epoch, change.parent.runId, kind, change.parent.stepKey, change.output ?? change.error]);
        }
        if (ended && (change.leftovers === 'some' || next)) {
          for (const open of [waits, eventWaits]) for (const [key, wait] of open) if (wait[0] === runId) open.delete(key);
          if (!next) rows.endedRuns.push([runId, epoch, change.status === 'failed']);
        }
        rows.changes.push(changeRow(transition));
        break;
      }
    }
  }
  if (hasUndoable) {
    rows.steps.length = 0;
    for (const transition of transitions) if (transition.kind === 'step') rows.undoableSteps.push(undoableStepRow(transition));
  }
  if (hasShared) addSharedRows(transitions, rows);
  rows.waits.push(...waits.values());
  rows.eventWaits.push(...eventWaits.values());
  rows.states.push(...states.values());
  rows.changes.sort(byId);
  rows.starts.sort(byId);
  if (given.starts) moveAll(rows.starts, rows.checkedStarts);
  if (given.startsByRuns) moveAll(rows.startsByRuns, rows.checkedStartsByRuns);
  return rows;
}

function moveAll<Row>(from: Row[], to: Row[]): void {
  to.push(...from.splice(0));
}

/**
 * Returns the columns that link a continuation to the parent of its predecessor. If the parent
 * waits for the predecessor, it then waits for the continuation.
 */
function inherited(parent: OwnedRun['parent'] | undefined): Partial<NewRun> {
  return parent ? { parentRunId: parent.runId, parentStepKey: parent.stepKey } : {};
}

function waitKey(runId: string, stepKey: string): string {
  return `${runId}\n${stepKey}`;
}

function byId(a: FlushRows['starts' | 'changes'][number], b: FlushRows['starts' | 'changes'][number]): number {
  return a[0]! < b[0]! ? -1 : 1;
}
