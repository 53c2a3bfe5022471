import { Column, Entity, PrimaryColumn } from 'typeorm';

/**
 * Progress of the retention, in a single row. There is no row while no process uses the option
 * `retention` or the option `streams.retention`.
 */
@Entity({ name: 'workflow_retention', synchronize: false })
export class WorkflowRetentionProgress {
  /** Always 1. */
  @PrimaryColumn({ type: 'smallint' })
  id!: number;

  /**
   * Retention of workflow classes, in milliseconds by status, or `keep`. The keys are the name and
   * the version of a workflow, separated by a line break.
   */
  @Column({ type: 'jsonb' })
  workflows!: Record<string, { completed?: number; failed?: number; cancelled?: number; keep?: true }>;

  /** Time when a process may read and delete the next runs. */
  @Column({ name: 'next_at', type: 'timestamptz' })
  nextAt!: Date;

  /**
   * Creation time of the last run that the current round has read; `afterId` is its id. Null before
   * the first run.
   */
  @Column({ name: 'after_created_at', type: 'timestamptz', nullable: true })
  afterCreatedAt!: Date | null;

  /** Id of the last run that the current round has read. */
  @Column({ name: 'after_id', type: 'text', nullable: true })
  afterId!: string | null;

  /** Number of runs that the current round has read and not deleted. */
  @Column({ name: 'left_alone', type: 'bigint' })
  leftAlone!: string;

  /** Id of the last run whose streams the current round has read. */
  @Column({ name: 'streams_after', type: 'text', nullable: true })
  streamsAfter!: string | null;

  /** Time when a process may read and remove the next streams. */
  @Column({ name: 'streams_next_at', type: 'timestamptz', nullable: true })
  streamsNextAt!: Date | null;
}
