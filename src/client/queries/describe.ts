import { toDate } from '../../core/duration.js';
import type { Payloads } from '../../core/payloads.js';
import { isTerminal, type ShownStatus } from '../../core/run.js';
import type { StepKind, StepRecord } from '../../core/step.js';
import { blockedOf, waitingForOf, type BlockedDescription, type WaitingFor } from './waiting-for.js';
import type { RunDescriptionRow } from '../../store/sql/read-runs.js';

/** A wait of a run that is open. */
export interface WaitDescription {
  stepKey: string;
  /** `retry`: a failed step waits for its next attempt. `grace`: a run that was stopped, and cleans up, ends then. */
  kind: 'sleep' | 'retry' | 'signal' | 'hook' | 'child' | 'grace';
  /** What is waited for: a signal's name, the first characters of a hook's token, a child's run id. */
  name: string | undefined;
  /** When it is over; undefined when only what it waits for ends it. */
  wakeAt: Date | undefined;
  /** How many attempts of the step have failed. */
  attempts: number;
}

/** A body of a step that is being executed. */
export interface BodyDescription {
  stepKey: string;
  /** Which try of the body this is, from 1. */
  attempt: number;
  /** When it was first seen under way, to within a second. */
  since: Date;
  host: string;
  pid: number;
}

/** A run that another has started. */
export interface ChildDescription {
  runId: string;
  /** The name of its workflow. */
  name: string;
  status: ShownStatus;
}

/** Everything that is known of a run but its steps. */
export interface RunDescription<O = unknown> {
  runId: string;
  name: string;
  /** 0 until a worker claims a run that was started by name alone. */
  version: number;
  queue: string;
  priority: number;
  /** `continued` only where `{ follow: false }` asks for a run that was continued as another. */
  status: ShownStatus;
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
  /**
   * Everything that the run waits for. Includes what its code does not show: a worker, a deployment
   * whose code fits, somebody who resumes the run.
   */
  waitingFor: WaitingFor[];
  /** Why it is blocked; undefined when it is not. */
  blocked: BlockedDescription | undefined;
  /** The bodies of its steps that have been under way for a second or two, and where. */
  underWay: BodyDescription[];
  /** How many times it has been claimed. */
  epoch: number;
  /** How many times it has been retried by an operator. */
  generation: number;
  deploymentId: string | undefined;
  /** The deployments whose code does not fit its history. */
  blockedDeployments: string[];
  /** The run that started it; `stepKey` is what waits for it there, undefined when nothing does. */
  parent: { runId: string; stepKey: string | undefined } | undefined;
  /** The last 100 runs that it has started, oldest first. */
  children: ChildDescription[];
  /** The run that goes on in its place, and the one in whose place it goes on (`ctx.continueAsNew`). */
  continuedAs: string | undefined;
  continuedFrom: string | undefined;
  forkedFrom: string | undefined;
  /** When it fails if it has not ended. */
  deadline: Date | undefined;
  /** What it shows by `ctx.setState`. */
  state: Record<string, unknown>;
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
    startedAt: toDate(row.startedAt),
    finishedAt: toDate(row.finishedAt),
    wakeAt: toDate(row.wakeAt),
    cancelRequestedAt: toDate(row.cancelRequestedAt),
    tags: { ...row.tags },
    // One that has failed keeps its children, for when it is retried; it waits for nothing.
    waits: (row.status === 'continued' || isTerminal(row.status) ? [] : row.waits).map(({ stepKey, kind, name, wakeAt, attempts }) => ({
      stepKey,
      kind,
      name: shownName(kind, name),
      wakeAt: toDate(wakeAt),
      attempts,
    })),
    waitingFor: waitingForOf(row),
    blocked: blockedOf(row, payloads),
    underWay: bodiesOf(row),
    epoch: row.epoch,
    generation: row.generation,
    deploymentId: row.deploymentId ?? undefined,
    blockedDeployments: [...row.blockedDeployments],
    parent: row.parentRunId === null ? undefined : { runId: row.parentRunId, stepKey: row.parentStepKey ?? undefined },
    children: row.children.map((child) => ({ ...child })),
    continuedAs: row.continuedAs ?? undefined,
    continuedFrom: row.continuedFrom ?? undefined,
    forkedFrom: row.forkedFrom ?? undefined,
    deadline: toDate(row.deadlineAt),
    state: Object.fromEntries(Object.entries(row.state).map(([key, text]) => [key, payloads.decode(text, `state "${key}"`)])),
  };
}

function bodiesOf({ id, worker }: RunDescriptionRow): BodyDescription[] {
  if (!worker) return [];
  const { host, pid, bodies } = worker;
  const own = (bodies ?? []).filter(({ runId }) => runId === id);
  return own.map(({ stepKey, attempt, since }) => ({ stepKey, attempt, since: new Date(since), host, pid }));
}

/** Whoever has a hook's token can resume the run: not for those who only look. */
function shownName(kind: WaitDescription['kind'], name: string | null): string | undefined {
  return (kind === 'hook' ? name?.slice(0, 8) : name) ?? undefined;
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
