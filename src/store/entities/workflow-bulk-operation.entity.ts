import { Column, Entity, PrimaryColumn } from 'typeorm';

/** Something that is done to many runs at a time, and how far it is: `client.bulk`. */
@Entity({ name: 'workflow_operations', synchronize: false })
export class WorkflowBulkOperation {
  @PrimaryColumn({ type: 'text' })
  token!: string;

  @Column({ type: 'text' })
  kind!: 'cancel' | 'retry' | 'signal' | 'terminate';

  /** Which runs are meant. */
  @Column({ type: 'json' })
  conditions!: unknown;

  @Column({ name: 'signal_name', type: 'text', nullable: true })
  signalName!: string | null;

  /** Of the signal. */
  @Column({ type: 'json', nullable: true })
  payload!: unknown;

  /** Who does it and why. */
  @Column({ type: 'json' })
  note!: unknown;

  /** How many runs the dry run counted. */
  @Column({ type: 'bigint' })
  matched!: string;

  /** To how many runs it has been done. */
  @Column({ type: 'bigint' })
  done!: string;

  /** How many were no longer as they had to be when it came to them. */
  @Column({ type: 'bigint' })
  skipped!: string;

  /** The most runs per second. */
  @Column({ type: 'double precision', nullable: true })
  rate!: number | null;

  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  /** Until then nothing is done; after a day it is forgotten. */
  @Column({ name: 'started_at', type: 'timestamptz', nullable: true })
  startedAt!: Date | null;

  @Column({ name: 'finished_at', type: 'timestamptz', nullable: true })
  finishedAt!: Date | null;

  /** Somebody has ended it before it was done. */
  @Column({ name: 'is_stopped', type: 'boolean', default: false })
  isStopped!: boolean;

  /** When the next part is due. */
  @Column({ name: 'next_at', type: 'timestamptz', nullable: true })
  nextAt!: Date | null;

  /** The run that it came to last. */
  @Column({ name: 'after_created_at', type: 'timestamptz', nullable: true })
  afterCreatedAt!: Date | null;

  @Column({ name: 'after_id', type: 'text', nullable: true })
  afterId!: string | null;
}
