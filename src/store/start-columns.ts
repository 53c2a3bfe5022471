import type { BatchStart } from '../core/batch-start.js';
import type { NewRun, SharedStart } from '../core/run.js';
import { OWNER, type Row } from './columns.js';

/** Columns that every new run has. */
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
  ['trace_context', 'text'],
  ['queue_key', 'text'],
] as const;

function startValues(run: NewRun): Row<typeof START> {
  const {
    id,
    name,
    version,
    queue,
    priority,
    input,
    delayMs,
    startAt,
    nonce,
    deploymentId,
    timeoutMs = null,
    traceContext = null,
    queueKey = null,
  } = run;
  return [id, name, version, queue, priority, input, delayMs, startAt, nonce, deploymentId, timeoutMs, traceContext, queueKey];
}

export const STARTS = [...START, ['owned', 'boolean'], ['parent_run_id', 'text']] as const;

export function startRow({ run, owned }: { readonly run: NewRun; readonly owned: boolean }): Row<typeof STARTS> {
  return [...startValues(run), owned, run.parentRunId ?? null];
}

export const SHARED_STARTS = [
  ...START,
  ['kind', 'text'],
  ['key', 'text'],
  ['period_ms', 'float8'],
  ['max_wait_ms', 'float8'],
  ['is_given', 'boolean'],
] as const;

export function sharedStartRow(run: NewRun, { kind, key, periodMs, maxWaitMs }: SharedStart): Row<typeof SHARED_STARTS> {
  return [...startValues(run), kind, key, periodMs, maxWaitMs, run.hasGivenId === true];
}

export const BATCH_MEMBERS = [
  ...START,
  ['key', 'text'],
  ['size', 'int'],
  ['wait_ms', 'float8'],
  ['batch_id', 'text'],
  ['batch_nonce', 'bigint'],
  ['is_given', 'boolean'],
  ['parent_run_id', 'text'],
] as const;

export function batchMemberRow(run: NewRun, { size, waitMs, batchId, batchNonce }: BatchStart, key: string): Row<typeof BATCH_MEMBERS> {
  return [...startValues(run), key, size, waitMs, batchId, batchNonce, run.hasGivenId === true, run.parentRunId ?? null];
}

export const STARTS_BY_RUNS = [
  ...START,
  ['parent_run_id', 'text'],
  ['parent_step_key', 'text'],
  ['continued_from', 'text'],
  ['wake_count', 'int'],
  ...OWNER,
] as const;

/**
 * Builds the row of a run that another run starts: a child or a continuation. A continuation begins
 * with the wake counter 1. So the worker that claims it first reads its inbox, to which unread
 * messages of its predecessor may have moved.
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
