import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A queue, or a limit of steps, that has or had limits. Change limits through `client.queues`. */
@Entity({ name: 'workflow_queues', synchronize: false })
export class WorkflowQueue {
  /** `queue`, or `step` for a limit of steps. */
  @PrimaryColumn({ type: 'text' })
  kind!: 'queue' | 'step';

  /** Name of the queue or of the limit. */
  @PrimaryColumn({ type: 'text' })
  name!: string;

  /** Limits from the options of the module. */
  @Column({ type: 'json', nullable: true })
  declared!: unknown;

  /** Limits that `client.queues.configure` has stored, and that replace the declared ones. */
  @Column({ type: 'json', nullable: true })
  override!: unknown;

  /** True when the queue admits no run. */
  @Column({ name: 'is_paused', type: 'boolean' })
  isPaused!: boolean;

  /** True when a run or a step may have to wait. */
  @Column({ name: 'is_limited', type: 'boolean' })
  isLimited!: boolean;

  /** Number of places. Null without a limit. */
  @Column({ type: 'integer', nullable: true })
  concurrency!: number | null;

  /** Number of runs that one worker executes. Null without a limit. */
  @Column({ name: 'per_worker', type: 'integer', nullable: true })
  perWorker!: number | null;

  /** Number of places of each key. Null without a limit. */
  @Column({ name: 'key_concurrency', type: 'integer', nullable: true })
  keyConcurrency!: number | null;

  /** Milliseconds between two slots of the rate limit. Null without one. */
  @Column({ name: 'interval_ms', type: 'double precision', nullable: true })
  intervalMs!: number | null;

  /** Number of slots that may follow each other at once. */
  @Column({ type: 'integer' })
  burst!: number;

  /** Milliseconds between two slots of each key. Null without a rate limit for keys. */
  @Column({ name: 'key_interval_ms', type: 'double precision', nullable: true })
  keyIntervalMs!: number | null;

  /** Number of slots of a key that may follow each other at once. */
  @Column({ name: 'key_burst', type: 'integer' })
  keyBurst!: number;

  /** True when runs are admitted in their order, whatever their keys. */
  @Column({ name: 'is_fifo', type: 'boolean' })
  isFifo!: boolean;

  /** True when suspended runs keep their places. */
  @Column({ name: 'counts_suspended', type: 'boolean' })
  countsSuspended!: boolean;

  /** Theoretical arrival time of the rate limit. */
  @Column({ name: 'arrival_at', type: 'timestamptz', nullable: true })
  arrivalAt!: Date | null;

  /** Key whose turn was last. */
  @Column({ name: 'last_key', type: 'text' })
  lastKey!: string;

  /** Time of the last sweep. */
  @Column({ name: 'swept_at', type: 'timestamptz' })
  sweptAt!: Date;

  /**
   * Id of the last run that the sweep has looked at, to bring the runs of the queue under its first
   * limits. Null when there is nothing to do.
   */
  @Column({ name: 'adopting_after', type: 'text', nullable: true })
  adoptingAfter!: string | null;

  /** Number of changes of the limits. */
  @Column({ type: 'bigint' })
  revision!: string;

  /** Time of the last change of the limits. */
  @Column({ name: 'updated_at', type: 'timestamptz' })
  updatedAt!: Date;
}
