import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A schedule that starts runs. The client changes schedules; other writers would break them. */
@Entity({ name: 'workflow_schedules', synchronize: false })
export class WorkflowSchedule {
  /** Name of the schedule. */
  @PrimaryColumn({ type: 'text' })
  name!: string;

  /** Name of the workflow of the runs. */
  @Column({ type: 'text' })
  workflow!: string;

  /** Cron expression; null when the schedule has a period. */
  @Column({ type: 'text', nullable: true })
  cron!: string | null;

  /** Period in milliseconds; null when the schedule has a cron expression. */
  @Column({ name: 'every_ms', type: 'double precision', nullable: true })
  everyMs!: number | null;

  /** Time zone of the cron expression. */
  @Column({ type: 'text' })
  timezone!: string;

  /** Moment from which the period counts. */
  @Column({ name: 'anchor_at', type: 'timestamptz' })
  anchorAt!: Date;

  /** First moment at which the schedule may be due. */
  @Column({ name: 'start_at', type: 'timestamptz', nullable: true })
  startAt!: Date | null;

  /** Moment from which on the schedule is no longer due. */
  @Column({ name: 'end_at', type: 'timestamptz', nullable: true })
  endAt!: Date | null;

  /** Longest delay of a run after its due time, in milliseconds. */
  @Column({ name: 'jitter_ms', type: 'double precision', default: 0 })
  jitterMs!: number;

  /** Action when a run of the schedule has not ended. */
  @Column({ type: 'text' })
  overlap!: 'skip' | 'queue' | 'allow' | 'cancelPrevious';

  /** Action for due times that were missed. */
  @Column({ name: 'catch_up', type: 'text' })
  catchUp!: 'none' | 'last' | 'all';

  /** Largest number of missed due times for which runs start. */
  @Column({ name: 'catch_up_limit', type: 'integer' })
  catchUpLimit!: number;

  /** Input of the runs, in the stored form of payloads. */
  @Column({ type: 'json' })
  input!: unknown;

  /** Tags of the runs. */
  @Column({ type: 'json' })
  tags!: Record<string, string>;

  /** Next due time for which no run has been started; null when none is known. */
  @Column({ name: 'due_at', type: 'timestamptz', nullable: true })
  dueAt!: Date | null;

  /** Time at which a process works on the schedule next; null when nothing is to be done. */
  @Column({ name: 'fire_at', type: 'timestamptz', nullable: true })
  fireAt!: Date | null;

  /** Due time whose run waits for the end of other runs. */
  @Column({ name: 'queued_at', type: 'timestamptz', nullable: true })
  queuedAt!: Date | null;

  /** Runs that may not have ended; empty when runs may overlap. */
  @Column({ name: 'open_runs', type: 'text', array: true, default: '{}' })
  openRuns!: string[];

  /** Number of due times that started no run because of other runs, as text. */
  @Column({ type: 'bigint', default: 0 })
  skipped!: string;

  /** Number of failed tries to start the run of the present due time. */
  @Column({ type: 'integer', default: 0 })
  failures!: number;

  /** Due time of the last run. */
  @Column({ name: 'last_due_at', type: 'timestamptz', nullable: true })
  lastDueAt!: Date | null;

  /** Id of the last run. */
  @Column({ name: 'last_run_id', type: 'text', nullable: true })
  lastRunId!: string | null;

  /** Time since which the schedule is paused; null when the schedule is not paused. */
  @Column({ name: 'paused_at', type: 'timestamptz', nullable: true })
  pausedAt!: Date | null;

  /** Reason of the pause. */
  @Column({ name: 'pause_reason', type: 'text', nullable: true })
  pauseReason!: string | null;

  /** Message of the last failed try to start runs; null after a try that succeeded. */
  @Column({ name: 'last_error', type: 'text', nullable: true })
  lastError!: string | null;

  /** Time at which a paused schedule resumes by itself. */
  @Column({ name: 'resume_at', type: 'timestamptz', nullable: true })
  resumeAt!: Date | null;

  /** Digest of the `@Schedule`; null when a client created the schedule. */
  @Column({ type: 'text', nullable: true })
  definition!: string | null;

  /** Deployment whose definition the schedule has. */
  @Column({ name: 'deployment_id', type: 'text', nullable: true })
  deploymentId!: string | null;

  /** Deployments whose older definition was replaced. */
  @Column({ name: 'replaced_deployments', type: 'text', array: true, default: '{}' })
  replacedDeployments!: string[];

  /** Time until which the schedule counts as declared by a process. */
  @Column({ name: 'declared_until', type: 'timestamptz', nullable: true })
  declaredUntil!: Date | null;

  /** True when no process declares the schedule any more. */
  @Column({ name: 'is_undeclared', type: 'boolean', default: false })
  isUndeclared!: boolean;

  /** Time of the creation. */
  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'now()' })
  createdAt!: Date;

  /** Time of the last change by a client or a deployment. */
  @Column({ name: 'updated_at', type: 'timestamptz', default: () => 'now()' })
  updatedAt!: Date;
}
