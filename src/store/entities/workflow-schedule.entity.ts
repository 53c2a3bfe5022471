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
}
