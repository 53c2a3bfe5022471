import { isPlainObject } from '../../core/check-options.js';
import { toDate } from '../../core/duration.js';
import type { Payloads } from '../../core/payloads.js';
import { isTerminal, type ShownStatus } from '../../core/run.js';
import type { RunSchedule, ScheduledFor } from '../../core/schedules/schedule-types.js';
import { isHookKey } from '../../core/step-key-format.js';
import type { StepKind, StepRecord } from '../../core/step.js';
import type { RunDescriptionRow } from '../../store/sql/read-runs.js';
import { blockedOf, type BlockedDescription } from './blocked-description.js';
import { bodiesOf, effectiveWaitsOf, waitingForOf, type BodyDescription, type WaitingFor } from './waiting-for.js';

/** An open wait of a run. */
export interface WaitDescription {
  /** Key of the step that waits. */
  stepKey: string;
  /**
   * Kind of the wait. `retry`: a failed step waits for its next attempt. `grace`: a cancelled or
   * timed-out run has this time to clean up.
   */
  kind: 'sleep' | 'retry' | 'signal' | 'hook' | 'child' | 'event' | 'grace';
  /**
   * Name of the awaited signal or event, the first characters of a hook's token, or the id of a
   * child run.
   */
  name: string | undefined;
  /**
   * Moment at which the wait ends. Undefined when only an event, such as a signal, ends the wait.
   */
  wakeAt: Date | undefined;
  /** Number of failed attempts of the waiting step. */
  attempts: number;
}

/** A run that this run has started. */
export interface ChildDescription {
  /** Id of the child. */
  runId: string;
  /** Name of the child's workflow. */
  name: string;
  /** Status of the child. */
  status: ShownStatus;
}

/** Details of a run. They do not include its steps. */
export interface RunDescription<O = unknown> {
  /** Id of the run. */
  runId: string;
  /** Name of the workflow. */
  name: string;
  /**
   * Version of the workflow. For a run that was started by name, it is 0 until a worker claims the
   * run.
   */
  version: number;
  /** Queue of the run. */
  queue: string;
  /** Priority of the run. Due runs with a higher priority are claimed first. */
  priority: number;
  /**
   * Status of the run. `continued` is possible only with `{ follow: false }`, and means that
   * another run continues this run.
   */
  status: ShownStatus;
  /** Input of the run. */
  input: unknown;
  /** Output of a completed run. */
  output: O | undefined;
  /** Error of a failed or cancelled run. */
  error: Error | undefined;
  /** Moment at which the run was created. */
  createdAt: Date;
  /** Moment of the first execution. Undefined before it. */
  startedAt: Date | undefined;
  /** Moment at which the run ended. Undefined before its end. */
  finishedAt: Date | undefined;
  /** Moment at which a waiting run becomes due, even if no message arrives. */
  wakeAt: Date | undefined;
  /** Moment at which a cancellation was requested. Undefined without a request. */
  cancelRequestedAt: Date | undefined;
  /**
   * Moment at which the run began to undo its steps, because it has failed, was cancelled or has
   * timed out. Undefined before.
   */
  compensatingSince: Date | undefined;
  /** Tags of the run. */
  tags: Record<string, string>;
  /** Open waits of the run's code. */
  waits: WaitDescription[];
  /**
   * Everything that the run waits for, including things outside its code: a worker, a deployment
   * whose code matches, or an operator who resumes the run.
   */
  waitingFor: WaitingFor[];
  /** Reason why the run is blocked. Undefined when it is not blocked. */
  blocked: BlockedDescription | undefined;
  /** Step bodies that have been executing for more than a second or two. */
  underWay: BodyDescription[];
  /** Number of times that a worker has claimed the run. */
  epoch: number;
  /** Number of times that the run was retried after a failure. */
  generation: number;
  /** Id of the deployment that started the run. */
  deploymentId: string | undefined;
  /** Deployments whose code does not match the run's history. */
  blockedDeployments: string[];
  /**
   * Run that started this run. `stepKey` is the key of the parent's wait for this run. It is
   * undefined when the parent does not wait.
   */
  parent: { runId: string; stepKey: string | undefined } | undefined;
  /** The last 100 runs that this run has started, oldest first. */
  children: ChildDescription[];
  /** Id of the run that continues this run after `ctx.continueAsNew`. */
  continuedAs: string | undefined;
  /** Id of the run that this run continues. */
  continuedFrom: string | undefined;
  /** Id of the run of which this run is a fork. */
  forkedFrom: string | undefined;
  /** Id of the run that executes the batch of which this run is a member. */
  batchId: string | undefined;
  /** True when the run executes a batch. Its input and output are those of all members. */
  isBatch: boolean;
  /**
   * Name of the schedule that started the run, and due time of the run. Undefined when no schedule
   * started the run.
   */
  schedule: RunSchedule | undefined;
  /** Moment at which the run fails if it has not ended before. */
  deadline: Date | undefined;
  /** Values that the workflow has set with `ctx.setState`. */
  state: Record<string, unknown>;
}

/** A recorded step of a run. */
export interface StepDescription {
  /** Key of the step. */
  stepKey: string;
  /** Kind of the recorded operation. */
  kind: StepKind;
  /** Status of the step. */
  status: 'completed' | 'failed';
  /** Output of a completed step. */
  output: unknown;
  /** Error of a failed step. */
  error: Error | undefined;
  /**
   * Arguments with which the compensation of the step is called, after its output. Undefined for a
   * step without a compensation.
   */
  compensateArgs: unknown[] | undefined;
  /** Number of attempts of the step's body. */
  attempts: number;
  /** Moment at which the step started. */
  startedAt: Date;
  /** Moment at which the step ended. */
  finishedAt: Date;
  /** Position of this step's result in the order in which the workflow received results. */
  seq: number;
}

/** Converts the stored schedule of a run to the form that users see. */
export function toRunSchedule(schedule: ScheduledFor | null): RunSchedule | undefined {
  return schedule === null ? undefined : { name: schedule.name, dueAt: new Date(schedule.dueAt) };
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
    compensatingSince: toDate(row.compensatingSince),
    tags: { ...row.tags },
    // A failed run keeps its waits for child runs, because a retry needs these waits. They are left
    // out here, because an ended run waits for nothing.
    waits: (row.status === 'continued' || isTerminal(row.status) ? [] : effectiveWaitsOf(row)).map(
      ({ stepKey, kind, name, wakeAt, attempts }) => ({
        stepKey,
        kind,
        name: shownName(kind, name),
        wakeAt: toDate(wakeAt),
        attempts,
      }),
    ),
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
    batchId: row.batchId ?? undefined,
    isBatch: row.isBatch,
    schedule: toRunSchedule(row.schedule),
    deadline: toDate(row.deadlineAt),
    state: Object.fromEntries(Object.entries(row.state).map(([key, text]) => [key, payloads.decode(text, `state "${key}"`)])),
  };
}

/**
 * Shortens a hook's token. With the whole token anyone can resume the run, and a description should
 * only allow reading.
 */
function shownName(kind: WaitDescription['kind'], name: string | null): string | undefined {
  return (kind === 'hook' ? name?.slice(0, 8) : name) ?? undefined;
}

/**
 * Shortens the token in the output of a hook's step. An output of another form belongs to a step of
 * the application that is also named `hook`.
 */
function shownOutput({ stepKey, kind }: StepRecord, output: unknown): unknown {
  if (kind !== 'step' || !isHookKey(stepKey) || !isPlainObject(output)) return output;
  const { token, owner, ...others } = output as { token?: unknown; owner?: unknown };
  if (typeof token !== 'string' || Object.keys(others).length > 0) return output;
  return { token: shownName('hook', token), ...(owner === undefined ? {} : { owner }) };
}

/** @internal */
export function toStepDescription(step: StepRecord, payloads: Payloads): StepDescription {
  return {
    stepKey: step.stepKey,
    kind: step.kind,
    status: step.status,
    output: step.output === null ? undefined : shownOutput(step, payloads.decode(step.output, `output of step "${step.stepKey}"`)),
    error: step.error === null ? undefined : payloads.showError(step.error),
    compensateArgs:
      step.compensateArgs === undefined
        ? undefined
        : (payloads.decode(step.compensateArgs, `arguments of step "${step.stepKey}"`) as unknown[]),
    attempts: step.attempts,
    startedAt: new Date(step.startedAt),
    finishedAt: new Date(step.finishedAt),
    seq: step.seq,
  };
}
