import type { NewRun } from '../core/run.js';
import type { RunEvent, Transition } from '../core/transition.js';
import type { ArrayType } from './binary-array.js';

/** Names and types of the columns of one kind of rows. */
export type Columns = readonly (readonly [name: string, type: ArrayType])[];

interface ColumnValues {
  text: string;
  json: string;
  int: number;
  smallint: number;
  bigint: string;
  float8: number;
  boolean: boolean;
}

/** Values of a row, in the order of its columns. */
export type Row<C extends Columns> = {
  readonly [Index in keyof C]: C[Index] extends readonly [string, infer Type extends ArrayType] ? ColumnValues[Type] | null : never;
};

type TransitionOf<Kind extends Transition['kind']> = Extract<Transition, { kind: Kind }>;

/** Columns that identify the owned run of a row. */
const OWNER = [
  ['run_id', 'text'],
  ['epoch', 'int'],
] as const;

const START = [
  ['id', 'text'],
  ['name', 'text'],
  ['version', 'int'],
  ['queue', 'text'],
  ['priority', 'smallint'],
  ['input', 'json'],
  ['delay_ms', 'float8'],
  ['start_at', 'float8'],
  ['nonce', 'bigint'],
  ['deployment_id', 'text'],
  ['timeout_ms', 'float8'],
] as const;

function startValues(run: NewRun): Row<typeof START> {
  const { id, name, version, queue, priority, input, delayMs, startAt, nonce, deploymentId, timeoutMs = null } = run;
  return [id, name, version, queue, priority, input, delayMs, startAt, nonce, deploymentId, timeoutMs];
}

const STARTS = [...START, ['owned', 'boolean'], ['parent_run_id', 'text']] as const;

export function startRow(run: NewRun, owned: boolean): Row<typeof STARTS> {
  return [...startValues(run), owned, run.parentRunId ?? null];
}

const STARTS_BY_RUNS = [
  ...START,
  ['parent_run_id', 'text'],
  ['parent_step_key', 'text'],
  ['continued_from', 'text'],
  ['wake_count', 'int'],
  ...OWNER,
] as const;

/**
 * Builds the row of a child or a continuation. The wake counter of a continuation says that
 * messages may wait: those that move to it.
 */
export function startByRunRow(
  run: NewRun,
  starter: { runId: string; epoch: number },
  as: 'child' | 'continuation',
): Row<typeof STARTS_BY_RUNS> {
  const continues = as === 'continuation';
  const { parentRunId = null, parentStepKey = null } = run;
  return [
    ...startValues(run),
    parentRunId,
    parentStepKey,
    continues ? starter.runId : null,
    continues ? 1 : 0,
    starter.runId,
    starter.epoch,
  ];
}

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
  return [
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
    ended ? (change.continuedAs?.id ?? null) : null,
  ];
}

const LOG_ENTRIES = [...OWNER, ['kind', 'text'], ['step_key', 'text'], ['attempt', 'int'], ['data', 'json']] as const;

export function logRow(runId: string, epoch: number, event: RunEvent): Row<typeof LOG_ENTRIES> {
  return [runId, epoch, event.kind, event.stepKey, event.attempt, event.data];
}

const TAGS = [
  ['run_id', 'text'],
  ['key', 'text'],
  ['value', 'text'],
] as const;

/** Kinds of rows in a flush, with the columns of each. */
export const COLUMNS = {
  starts: STARTS,
  /** The starts of a flush in which any run has an id that an earlier run may have had. */
  checkedStarts: STARTS,
  /**
   * Children and continuations, which other runs start. They are written only while this session
   * owns their starter.
   */
  startsByRuns: STARTS_BY_RUNS,
  /** Such rows of a flush in which any of them has an id that an earlier run may have had. */
  checkedStartsByRuns: STARTS_BY_RUNS,
  tags: TAGS,
  /** Tags of children. A continuation inherits those of its predecessor. */
  childTags: TAGS,
  changes: CHANGES,
  steps: STEPS,
  waits: WAITS,
  closedWaits: [...OWNER, ['step_key', 'text']],
  /** Ended runs, whose remaining waits and messages are deleted. */
  endedRuns: [...OWNER, ['is_failed', 'boolean']],
  logEntries: LOG_ENTRIES,
  states: [...OWNER, ['key', 'text'], ['value', 'json']],
  /**
   * Messages that ended child runs leave with their parents, and cancelled parents with their
   * children.
   */
  messages: [...OWNER, ['to_run_id', 'text'], ['kind', 'text'], ['name', 'text'], ['payload', 'json']],
  /** Runs whose unread messages move to the run that continues them. */
  continuedRuns: [...OWNER, ['to_run_id', 'text']],
  /** Payloads that did not fit their hooks. They are among `takenMessages` too. */
  droppedPayloads: [...OWNER, ['id', 'bigint'], ['step_key', 'text'], ['data', 'json']],
  takenMessages: [...OWNER, ['id', 'bigint']],
} as const satisfies Readonly<Record<string, Columns>>;

/** Rows of one flush. */
export type FlushRows = { readonly [Key in keyof typeof COLUMNS]: Row<(typeof COLUMNS)[Key]>[] };
