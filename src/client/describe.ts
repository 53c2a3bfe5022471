import type { Payloads } from '../core/payloads.js';
import type { RunStatus } from '../core/run.js';
import type { StepKind, StepRecord } from '../core/step.js';
import type { RunDescriptionRow } from '../store/sql/read-runs.js';

/** A wait of a run that is open. */
export interface WaitDescription {
  stepKey: string;
  /** `grace`: a cancelled run that cleans up ends then. */
  kind: 'sleep' | 'retry' | 'grace';
  wakeAt: Date;
  /** How many attempts of the step have failed. */
  attempts: number;
}

/** Everything that is known of a run but its steps. */
export interface RunDescription<O = unknown> {
  runId: string;
  name: string;
  /** 0 until a worker claims a run that was started by name alone. */
  version: number;
  queue: string;
  priority: number;
  status: RunStatus;
  input: unknown;
  /** Of a completed run. */
  output: O | undefined;
  /** Of a failed or cancelled run. */
  error: Error | undefined;
  createdAt: Date;
  startedAt: Date | undefined;
  finishedAt: Date | undefined;
  /** When a waiting run becomes due by itself. */
  wakeAt: Date | undefined;
  cancelRequestedAt: Date | undefined;
  tags: Record<string, string>;
  waits: WaitDescription[];
  /** How many times it has been claimed. */
  epoch: number;
  /** How many times it has been retried by an operator. */
  generation: number;
  deploymentId: string | undefined;
  /** The deployments whose code does not fit its history. */
  blockedDeployments: string[];
  parentRunId: string | undefined;
}

/** A recorded step of a run. */
export interface StepDescription {
  stepKey: string;
  kind: StepKind;
  status: 'completed' | 'failed';
  output: unknown;
  error: Error | undefined;
  /** How many times the body was tried. */
  attempts: number;
  startedAt: Date;
  finishedAt: Date;
  /** The place in the order in which results entered the workflow. */
  seq: number;
}

/** @internal */
export function toRunDescription<O>(row: RunDescriptionRow, payloads: Payloads): RunDescription<O> {
  const date = (ms: number | null): Date | undefined => (ms === null ? undefined : new Date(ms));
  return {
    runId: row.id,
    name: row.name,
    version: row.version,
    queue: row.queue,
    priority: row.priority,
    status: row.status,
    input: payloads.decode(row.input, 'input'),
    output: row.output === null ? undefined : (payloads.decode(row.output, 'output') as O),
    error: row.error === null ? undefined : payloads.showError(row.error),
    createdAt: new Date(row.createdAt),
    startedAt: date(row.startedAt),
    finishedAt: date(row.finishedAt),
    wakeAt: date(row.wakeAt),
    cancelRequestedAt: date(row.cancelRequestedAt),
    tags: { ...row.tags },
    waits: row.waits.map((wait) => ({ ...wait, wakeAt: new Date(wait.wakeAt) })),
    epoch: row.epoch,
    generation: row.generation,
    deploymentId: row.deploymentId ?? undefined,
    blockedDeployments: [...row.blockedDeployments],
    parentRunId: row.parentRunId ?? undefined,
  };
}

/** @internal */
export function toStepDescription(step: StepRecord, payloads: Payloads): StepDescription {
  return {
    stepKey: step.stepKey,
    kind: step.kind,
    status: step.status,
    output: step.output === null ? undefined : payloads.decode(step.output, `output of step "${step.stepKey}"`),
    error: step.error === null ? undefined : payloads.showError(step.error),
    attempts: step.attempts,
    startedAt: new Date(step.startedAt),
    finishedAt: new Date(step.finishedAt),
    seq: step.seq,
  };
}
