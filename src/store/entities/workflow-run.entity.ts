import { Column, Entity, PrimaryColumn } from 'typeorm';

import type { RunStatus } from '../../core/run.js';

/** One execution of a workflow. The owner alone changes a run that is `running`; read it as you like, write through the client. */
@Entity({ name: 'workflow_runs', synchronize: false })
export class WorkflowRun {
  @PrimaryColumn({ type: 'text' })
  id!: string;

  /** The name of the workflow. */
  @Column({ type: 'text' })
  name!: string;

  /** 0 until a worker claims a run that was started by name alone. */
  @Column({ type: 'integer' })
  version!: number;

  @Column({ type: 'text' })
  queue!: string;

  @Column({ type: 'text' })
  status!: RunStatus;

  /** Higher ones are claimed first. */
  @Column({ type: 'smallint' })
  priority!: number;

  @Column({ type: 'json' })
  input!: unknown;

  @Column({ type: 'json', nullable: true })
  output!: unknown;

  @Column({ type: 'json', nullable: true })
  error!: unknown;

  /** Of a failed run: the code of what its code threw, or the name where that has none; what wraps it (StepFailedError) does not count. */
  @Column({ name: 'error_code', type: 'text', nullable: true })
  errorCode!: string | null;

  /** Of a failed run: the name of the step that it failed by, without the number or key of the call. */
  @Column({ name: 'failed_step', type: 'text', nullable: true })
  failedStep!: string | null;

  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  /** When it last became due. */
  @Column({ name: 'ready_at', type: 'timestamptz', nullable: true })
  readyAt!: Date | null;

  /** When a waiting run becomes due by itself. */
  @Column({ name: 'wake_at', type: 'timestamptz', nullable: true })
  wakeAt!: Date | null;

  /** When it was first executed. */
  @Column({ name: 'started_at', type: 'timestamptz', nullable: true })
  startedAt!: Date | null;

  @Column({ name: 'finished_at', type: 'timestamptz', nullable: true })
  finishedAt!: Date | null;

  @Column({ name: 'cancel_requested_at', type: 'timestamptz', nullable: true })
  cancelRequestedAt!: Date | null;

  /** The session that owns it while it is running. */
  @Column({ name: 'session_id', type: 'bigint', nullable: true })
  sessionId!: string | null;

  /** How many times it has been claimed. */
  @Column({ type: 'integer' })
  epoch!: number;

  /** How many times it has been retried by an operator. */
  @Column({ type: 'integer' })
  generation!: number;

  /** Counts what came for it; suspending compares it. */
  @Column({ name: 'wake_count', type: 'integer' })
  wakeCount!: number;

  /** How often a worker died while it executed the run. */
  @Column({ name: 'worker_losses', type: 'smallint' })
  workerLosses!: number;

  /** How often a worker died while it executed nothing but this run. */
  @Column({ name: 'exclusive_losses', type: 'smallint' })
  exclusiveLosses!: number;

  @Column({ name: 'start_nonce', type: 'bigint' })
  startNonce!: string;

  /** The size of the recorded steps, as of the last time that the run was let go of. */
  @Column({ name: 'history_bytes', type: 'bigint' })
  historyBytes!: string;

  /** The deployment that started it. */
  @Column({ name: 'deployment_id', type: 'text', nullable: true })
  deploymentId!: string | null;

  /** The deployments whose code does not fit its history. */
  @Column({ name: 'blocked_deployments', type: 'text', array: true, nullable: true })
  blockedDeployments!: string[] | null;

  /** Whether it waits for a deployment whose code fits. */
  @Column({ name: 'is_blocked', type: 'boolean', default: false })
  isBlocked!: boolean;

  /** When it fails if it has not ended. */
  @Column({ name: 'deadline_at', type: 'timestamptz', nullable: true })
  deadlineAt!: Date | null;

  /** How long it may take from when it is first due, in milliseconds; a retry has that time again. */
  @Column({ name: 'timeout_ms', type: 'double precision', nullable: true })
  timeoutMs!: number | null;

  /** Of one that goes on in another's place: when the first of them was created. */
  @Column({ name: 'chain_created_at', type: 'timestamptz', nullable: true })
  chainCreatedAt!: Date | null;

  /** The `start_nonce` of the first run of its chain; null for that one. */
  @Column({ name: 'chain_nonce', type: 'bigint', nullable: true })
  chainNonce!: string | null;

  /** The run that goes on in its place, by `ctx.continueAsNew`. */
  @Column({ name: 'continued_as', type: 'text', nullable: true })
  continuedAs!: string | null;

  /** The run in whose place it goes on. */
  @Column({ name: 'continued_from', type: 'text', nullable: true })
  continuedFrom!: string | null;

  @Column({ name: 'forked_from', type: 'text', nullable: true })
  forkedFrom!: string | null;

  /** The run whose history a fork has copied: it draws the same random numbers. */
  @Column({ name: 'seed_run_id', type: 'text', nullable: true })
  seedRunId!: string | null;

  /** The run that started it. */
  @Column({ name: 'parent_run_id', type: 'text', nullable: true })
  parentRunId!: string | null;

  /** The step of that run that waits for this one; null when none does. */
  @Column({ name: 'parent_step_key', type: 'text', nullable: true })
  parentStepKey!: string | null;
}
