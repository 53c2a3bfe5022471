import { Column, Entity, PrimaryColumn } from 'typeorm';

/** An action on many runs and its progress: see `client.bulk`. */
@Entity({ name: 'workflow_operations', synchronize: false })
export class WorkflowBulkOperation {
  /** Token of the operation, which its dry run returned. */
  @PrimaryColumn({ type: 'text' })
  token!: string;

  /** Kind of the operation. */
  @Column({ type: 'text' })
  kind!: 'cancel' | 'delete' | 'retry' | 'signal' | 'terminate';

  /** Conditions that select the runs. A finished deletion has no conditions. */
  @Column({ type: 'json' })
  conditions!: unknown;

  /** Name of the signal; null for other kinds of operations. */
  @Column({ name: 'signal_name', type: 'text', nullable: true })
  signalName!: string | null;

  /** Payload of the signal. */
  @Column({ type: 'json', nullable: true })
  payload!: unknown;

  /** JSON object that says who started the operation and why. */
  @Column({ type: 'json' })
  note!: unknown;

  /** Number of runs that the dry run counted. */
  @Column({ type: 'bigint' })
  matched!: string;

  /** Number of processed runs. */
  @Column({ type: 'bigint' })
  done!: string;

  /**
   * Number of processed runs that the operation did not change: they no longer met the conditions,
   * or the database refused the change.
   */
  @Column({ type: 'bigint' })
  skipped!: string;

  /**
   * Ids of runs that could not be changed because their rows were locked. The operation tries them
   * again.
   */
  @Column({ type: 'text', array: true, default: [] })
  locked!: string[];

  /** Maximum number of runs per second. Null means no limit. */
  @Column({ type: 'double precision', nullable: true })
  rate!: number | null;

  /** Time of the dry run. */
  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  /**
   * Time when the operation was started. Before this time, no run is changed. An operation that is
   * not started is deleted after a day.
   */
  @Column({ name: 'started_at', type: 'timestamptz', nullable: true })
  startedAt!: Date | null;

  /** Time when the operation completed or was stopped; null before it. */
  @Column({ name: 'finished_at', type: 'timestamptz', nullable: true })
  finishedAt!: Date | null;

  /** True when an operator stopped the operation before it was complete. */
  @Column({ name: 'is_stopped', type: 'boolean', default: false })
  isStopped!: boolean;

  /** Time when the operation may process its next batch of runs. */
  @Column({ name: 'next_at', type: 'timestamptz', nullable: true })
  nextAt!: Date | null;

  /**
   * Creation time of the last processed run; `afterId` is its id. The operation processes runs in
   * the order of creation time and id, and continues after this position.
   */
  @Column({ name: 'after_created_at', type: 'timestamptz', nullable: true })
  afterCreatedAt!: Date | null;

  /** Id of the last processed run. */
  @Column({ name: 'after_id', type: 'text', nullable: true })
  afterId!: string | null;
}
