import { Column, Entity, PrimaryColumn } from 'typeorm';

import type { RunStatus } from '../../core/run.js';

/**
 * One execution of a workflow. While a run is `running`, only the worker that owns it changes the
 * row. Applications may read the table, but must make changes through the client.
 */
@Entity({ name: 'workflow_runs', synchronize: false })
export class WorkflowRun {
  /** Id of the run. */
  @PrimaryColumn({ type: 'text' })
  id!: string;

  /** Name of the workflow. */
  @Column({ type: 'text' })
  name!: string;

  /**
   * Version of the workflow. A run that was started by the name of its workflow alone has version 0
   * until a worker claims it.
   */
  @Column({ type: 'integer' })
  version!: number;

  /** Queue of the run. */
  @Column({ type: 'text' })
  queue!: string;

  /** Status of the run. */
  @Column({ type: 'text' })
  status!: RunStatus;

  /** Priority of the run. Workers claim higher priorities first. */
  @Column({ type: 'smallint' })
  priority!: number;

  /** Serialized input. */
  @Column({ type: 'json' })
  input!: unknown;

  /** Serialized output; null when no output was recorded. */
  @Column({ type: 'json', nullable: true })
  output!: unknown;

  /** Serialized error; null when no error was recorded. */
  @Column({ type: 'json', nullable: true })
  error!: unknown;

  /**
   * Code of the error that made the run fail, or the name of the error if it has no code. If a
   * StepFailedError made the run fail, this is the code of the error that the step threw.
   */
  @Column({ name: 'error_code', type: 'text', nullable: true })
  errorCode!: string | null;

  /**
   * Name of the step that made the run fail, without the number or key that distinguishes calls of
   * the step.
   */
  @Column({ name: 'failed_step', type: 'text', nullable: true })
  failedStep!: string | null;

  /** Time when the run was created. */
  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  /** Time when the run last became due. */
  @Column({ name: 'ready_at', type: 'timestamptz', nullable: true })
  readyAt!: Date | null;

  /** Time when a waiting run becomes due without a message. */
  @Column({ name: 'wake_at', type: 'timestamptz', nullable: true })
  wakeAt!: Date | null;

  /** Time of the first execution. */
  @Column({ name: 'started_at', type: 'timestamptz', nullable: true })
  startedAt!: Date | null;

  /** Time of the end; null before it. */
  @Column({ name: 'finished_at', type: 'timestamptz', nullable: true })
  finishedAt!: Date | null;

  /** Time when a cancellation was requested; null without a request. */
  @Column({ name: 'cancel_requested_at', type: 'timestamptz', nullable: true })
  cancelRequestedAt!: Date | null;

  /** Id of the session (one worker process) that owns the run while it is running. */
  @Column({ name: 'session_id', type: 'bigint', nullable: true })
  sessionId!: string | null;

  /** Number of times that the run has been claimed. */
  @Column({ type: 'integer' })
  epoch!: number;

  /** Number of times that an operator has retried the run. */
  @Column({ type: 'integer' })
  generation!: number;

  /**
   * Number of times that the run was notified of a message or request. Before a worker suspends the
   * run, it checks that this number has not changed.
   */
  @Column({ name: 'wake_count', type: 'integer' })
  wakeCount!: number;

  /** Number of times that a worker died while it executed the run. */
  @Column({ name: 'worker_losses', type: 'smallint' })
  workerLosses!: number;

  /** Number of times that a worker died while it executed only this run. */
  @Column({ name: 'exclusive_losses', type: 'smallint' })
  exclusiveLosses!: number;

  /** Number that identifies the start that created the row. */
  @Column({ name: 'start_nonce', type: 'bigint' })
  startNonce!: string;

  /** Size of the recorded steps in bytes, as of the time when a worker last released the run. */
  @Column({ name: 'history_bytes', type: 'bigint' })
  historyBytes!: string;

  /** Id of the deployment that started the run. */
  @Column({ name: 'deployment_id', type: 'text', nullable: true })
  deploymentId!: string | null;

  /** Ids of the deployments whose code does not fit the run's history. */
  @Column({ name: 'blocked_deployments', type: 'text', array: true, nullable: true })
  blockedDeployments!: string[] | null;

  /** True while the run waits for a deployment whose code fits its history. */
  @Column({ name: 'is_blocked', type: 'boolean', default: false })
  isBlocked!: boolean;

  /** Time when the run fails if it has not ended by then. */
  @Column({ name: 'deadline_at', type: 'timestamptz', nullable: true })
  deadlineAt!: Date | null;

  /**
   * Milliseconds that the run may take, from the time when it is first due until its end. A retried
   * run gets the full time again.
   */
  @Column({ name: 'timeout_ms', type: 'double precision', nullable: true })
  timeoutMs!: number | null;

  /**
   * Time when the first run of the chain was created. A chain is a run and the runs that continue
   * it. Null for the first run.
   */
  @Column({ name: 'chain_created_at', type: 'timestamptz', nullable: true })
  chainCreatedAt!: Date | null;

  /**
   * Column `start_nonce` of the first run of the chain. A chain is a run and the runs that continue
   * it. Null for the first run.
   */
  @Column({ name: 'chain_nonce', type: 'bigint', nullable: true })
  chainNonce!: string | null;

  /** Id of the run that continues this one, by `ctx.continueAsNew`. */
  @Column({ name: 'continued_as', type: 'text', nullable: true })
  continuedAs!: string | null;

  /** Id of the run that this one continues. */
  @Column({ name: 'continued_from', type: 'text', nullable: true })
  continuedFrom!: string | null;

  /** Id of the run of which this run is a fork. */
  @Column({ name: 'forked_from', type: 'text', nullable: true })
  forkedFrom!: string | null;

  /**
   * Id of the run that seeds `ctx.random()` and `ctx.uuid()` of this fork. The fork has copied
   * steps of that run, and must draw the same random numbers. Null when the run's own id is the
   * seed.
   */
  @Column({ name: 'seed_run_id', type: 'text', nullable: true })
  seedRunId!: string | null;

  /** Id of the run that started this one. */
  @Column({ name: 'parent_run_id', type: 'text', nullable: true })
  parentRunId!: string | null;

  /** Key of the parent's step that waits for this run; null when no step waits for it. */
  @Column({ name: 'parent_step_key', type: 'text', nullable: true })
  parentStepKey!: string | null;

  /**
   * W3C trace context of the start: `traceparent`, and after a space `tracestate` if there is one.
   * Null when the start was not traced.
   */
  @Column({ name: 'trace_context', type: 'text', nullable: true })
  traceContext!: string | null;

  /** Key of the run within its queue, such as a tenant. */
  @Column({ name: 'queue_key', type: 'text', nullable: true })
  queueKey!: string | null;

  /**
   * Place of the run in a queue with limits: `queued`, `admitted`, `kept` or `outside`
   * (docs/queues.md). Null when the queue had no limits.
   */
  @Column({ type: 'text', nullable: true })
  place!: 'queued' | 'admitted' | 'kept' | 'outside' | null;

  /** Earliest time at which the run may begin, from the rate limit of its queue. */
  @Column({ name: 'opens_at', type: 'timestamptz', nullable: true })
  opensAt!: Date | null;
  /** Name of the schedule that started the run; null when no schedule did. */
  @Column({ type: 'text', nullable: true })
  schedule!: string | null;

  /** Due time of the schedule for which the run was started; null when no schedule started it. */
  @Column({ name: 'due_at', type: 'timestamptz', nullable: true })
  dueAt!: Date | null;

  /** Id of the run that executes the batch of which this run is a member. */
  @Column({ name: 'batch_id', type: 'text', nullable: true })
  batchId!: string | null;

  /** Place of a member in its batch, until the batch has ended. */
  @Column({ name: 'batch_place', type: 'int', nullable: true })
  batchPlace!: number | null;

  /** Largest number of members, on a run that executes a batch. */
  @Column({ name: 'batch_size', type: 'int', nullable: true })
  batchSize!: number | null;
}
