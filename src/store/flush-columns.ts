import type { EventSelection } from '../core/step.js';
import type { RunEvent, Transition } from '../core/transition.js';
import { OWNER, type Columns, type Row } from './columns.js';
import { BATCH_MEMBERS, SHARED_STARTS, STARTS, STARTS_BY_RUNS } from './start-columns.js';

type TransitionOf<Kind extends Transition['kind']> = Extract<Transition, { kind: Kind }>;

const STEPS = [
  ...OWNER,
  ['step_key', 'text'],
  ['kind', 'text'],
  ['seq', 'int'],
  ['status', 'text'],
  ['output', 'json'],
  ['error', 'json'],
  ['attempts', 'int'],
  ['called_after', 'int'],
  ['called_after_io', 'boolean'],
  ['args_hash', 'int'],
  ['started_at', 'float8'],
  ['finished_at', 'float8'],
] as const;

/** Columns of steps that have a compensation. */
const UNDOABLE_STEPS = [...STEPS, ['compensate_args', 'json']] as const;

export function undoableStepRow(transition: TransitionOf<'step'>): Row<typeof UNDOABLE_STEPS> {
  return [...stepRow(transition), transition.step.compensateArgs ?? null];
}

export function stepRow({ runId, epoch, step }: TransitionOf<'step'>): Row<typeof STEPS> {
  return [
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
  ];
}

const WAITS = [
  ...OWNER,
  ['step_key', 'text'],
  ['kind', 'text'],
  ['wake_at', 'float8'],
  ['attempts', 'int'],
  ['opened_at', 'float8'],
  ['name', 'text'],
] as const;

export function waitRow({ runId, epoch, wait }: TransitionOf<'wait'>): Row<typeof WAITS> {
  const { stepKey, kind, wakeAt, attempts, openedAt, name } = wait;
  return [runId, epoch, stepKey, kind, wakeAt, attempts, openedAt, name];
}

/** Columns of waits for events. */
const EVENT_WAITS = [...WAITS, ['event_key', 'text'], ['event_where', 'json'], ['since_ms', 'float8']] as const;

/**
 * Builds the row of a wait for an event. `since_ms` is null for the start of the run, and infinite
 * for the time of the flush.
 */
export function eventWaitRow(transition: TransitionOf<'wait'>, { key, where, since }: EventSelection): Row<typeof EVENT_WAITS> {
  const sinceMs = since === 'run-start' ? null : since === 'now' ? Number.POSITIVE_INFINITY : since;
  return [...waitRow(transition), key, where, sinceMs];
}

const EMITTED = [
  ['name', 'text'],
  ['id', 'text'],
  ['key', 'text'],
  ['payload', 'json'],
  ['emitter_run_id', 'text'],
  ['trace_context', 'text'],
] as const;

export function emittedRow({ event }: TransitionOf<'emit'>): Row<typeof EMITTED> {
  const { name, id, key, payload, runId, traceContext } = event;
  return [name, id, key, payload, runId, traceContext];
}

const CHANGES = [
  ['id', 'text'],
  ['epoch', 'int'],
  ['status', 'text'],
  ['output', 'json'],
  ['error', 'json'],
  ['wake_at', 'float8'],
  ['wake_count', 'int'],
  ['blocked_for', 'text'],
  ['history_bytes', 'float8'],
  ['error_code', 'text'],
  ['failed_step', 'text'],
  ['continued_as', 'text'],
] as const;

export function changeRow({ runId, epoch, change, historyBytes }: TransitionOf<'change'>): Row<typeof CHANGES> {
  const ended = 'output' in change;
  const suspended = 'wakeCount' in change;
  const dueSince = 'dueSince' in change ? change.dueSince : undefined;
  return [
    runId,
    epoch,
    change.status,
    ended ? change.output : null,
    ended ? change.error : null,
    suspended ? change.wakeAt : (dueSince ?? null),
    suspended ? change.wakeCount : null,
    'blockedFor' in change ? change.blockedFor : null,
    historyBytes,
    ended ? (change.failure?.code ?? null) : null,
    ended ? (change.failure?.step ?? null) : null,
    ended ? (change.continuedAs?.id ?? null) : null,
  ];
}

const LOG_ENTRIES = [...OWNER, ['kind', 'text'], ['step_key', 'text'], ['attempt', 'int'], ['data', 'json']] as const;

export function logRow(runId: string, epoch: number, event: RunEvent): Row<typeof LOG_ENTRIES> {
  return [runId, epoch, event.kind, event.stepKey, event.attempt, event.data];
}

const STREAM_CHUNKS = [
  ...OWNER,
  ['stream', 'text'],
  ['kind', 'text'],
  ['step_key', 'text'],
  ['attempt', 'int'],
  ['data', 'json'],
  ['bytes', 'int'],
  ['run_position', 'bigint'],
  ['ordinal', 'bigint'],
  ['is_first', 'boolean'],
] as const;

export function chunkRows({ runId, epoch, stream, chunks }: TransitionOf<'chunks'>): Row<typeof STREAM_CHUNKS>[] {
  return chunks.map(({ kind, stepKey, attempt, data, bytes, runPosition, ordinal, isFirst }) => [
    runId,
    epoch,
    stream,
    kind,
    stepKey,
    attempt,
    data,
    bytes,
    runPosition,
    ordinal,
    isFirst,
  ]);
}

const TAGS = [
  ['run_id', 'text'],
  ['key', 'text'],
  ['value', 'text'],
] as const;

/**
 * Kinds of rows that a flush (one write of many changes) contains, with the columns of each kind.
 */
export const COLUMNS = {
  starts: STARTS,
  /**
   * All rows of `starts` move here when the caller chose the id of at least one of these runs. A
   * deleted run may have had this id, so the flush also looks for rows of deleted runs.
   */
  checkedStarts: STARTS,
  /** Starts with `debounce` or `throttle`: one row for each key. */
  sharedStarts: SHARED_STARTS,
  /** Members of batches, in the order of their starts. */
  batchMembers: BATCH_MEMBERS,
  /**
   * Children and continuations. They are written only while this session owns the run that starts
   * them.
   */
  startsByRuns: STARTS_BY_RUNS,
  /**
   * All rows of `startsByRuns` move here when the workflow chose the id of at least one of these
   * runs. A deleted run may have had this id.
   */
  checkedStartsByRuns: STARTS_BY_RUNS,
  tags: TAGS,
  memberTags: TAGS,
  /** Tags of `sharedStarts`, by the id in the row of the start. */
  sharedTags: TAGS,
  /**
   * Tags of children. A continuation takes over the tags of its predecessor, so it needs no rows
   * here.
   */
  childTags: TAGS,
  changes: CHANGES,
  steps: STEPS,
  /**
   * All rows of `steps` move here when at least one of these steps has a compensation. Other
   * flushes do not write the column for its arguments.
   */
  undoableSteps: UNDOABLE_STEPS,
  waits: WAITS,
  /** Waits for events. */
  eventWaits: EVENT_WAITS,
  closedWaits: [...OWNER, ['step_key', 'text']],
  /** Ended runs. Their remaining waits and messages are deleted. */
  endedRuns: [...OWNER, ['is_failed', 'boolean']],
  logEntries: LOG_ENTRIES,
  states: [...OWNER, ['key', 'text'], ['value', 'json']],
  /**
   * Messages between parents and children: an ended child reports its result to its parent, and a
   * cancelled parent cancels its children.
   */
  messages: [...OWNER, ['to_run_id', 'text'], ['kind', 'text'], ['name', 'text'], ['payload', 'json']],
  /** Runs that continue in a new run, to which their unread messages move. */
  continuedRuns: [...OWNER, ['to_run_id', 'text']],
  /**
   * Messages whose payloads were dropped because they did not match the hook. `takenMessages`
   * contains these messages too.
   */
  droppedPayloads: [...OWNER, ['id', 'bigint'], ['step_key', 'text'], ['data', 'json']],
  takenMessages: [...OWNER, ['id', 'bigint']],
  /** Names of the run events to record for runs that `changes` ends or blocks. */
  runEvents: [['event', 'text']],
  /** The run event to record for steps that have failed. */
  stepEvents: [['event', 'text']],
  /** Chunks of streams. */
  streamChunks: STREAM_CHUNKS,
  /** Events that this process emits. */
  emitted: EMITTED,
  /** Events that steps have received. */
  receivedEvents: [...OWNER, ['step_key', 'text'], ['event_seq', 'bigint']],
  /**
   * Runs that continue in a new run and have received events: one row without an event for all
   * receipts in the table, and one row for each receipt in this flush.
   */
  continuedReceivers: [...OWNER, ['to_run_id', 'text'], ['event_seq', 'bigint']],
} as const satisfies Readonly<Record<string, Columns>>;

/** Rows of one flush. */
export type FlushRows = { readonly [Key in keyof typeof COLUMNS]: Row<(typeof COLUMNS)[Key]>[] };
