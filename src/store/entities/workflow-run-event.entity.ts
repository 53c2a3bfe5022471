import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A run event that waits until its listener has been called. */
@Entity({ name: 'workflow_run_events', synchronize: false })
export class WorkflowRunEvent {
  /** Id of the run. */
  @PrimaryColumn({ name: 'run_id', type: 'text' })
  runId!: string;

  /** Number of the event, unique in the table. */
  @PrimaryColumn({ type: 'bigint' })
  id!: string;

  /** The listener, as in `workflow_subscriptions`. */
  @Column({ type: 'text' })
  listener!: string;

  /** Name of the event. */
  @Column({ type: 'text' })
  event!: string;

  /** Time at which the event was recorded. */
  @Column({ name: 'occurred_at', type: 'timestamptz' })
  occurredAt!: Date;

  /** Time from which a process may take the event and call the listener. */
  @Column({ name: 'available_at', type: 'timestamptz' })
  availableAt!: Date;

  /** Number of times that a process has taken the event. */
  @Column({ type: 'int' })
  attempts!: number;

  /** Properties of the run at the time of the event. */
  @Column({ type: 'json' })
  facts!: unknown;

  /** Stored error of the run or the step; null for an event without an error. */
  @Column({ type: 'json', nullable: true })
  error!: unknown;

  /** Tags of the run, once retention has deleted the run; null before that. */
  @Column({ type: 'json', nullable: true })
  tags!: Record<string, string> | null;
}
