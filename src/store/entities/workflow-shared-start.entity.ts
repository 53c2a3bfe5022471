import { Column, Entity, PrimaryColumn } from 'typeorm';

/**
 * Key of starts with `debounce` or `throttle`, or of the members of a batch that is being
 * collected, with the run that counts for them.
 */
@Entity({ name: 'workflow_shared_starts', synchronize: false })
export class WorkflowSharedStart {
  /** Kind of the key. */
  @PrimaryColumn({ type: 'text' })
  kind!: 'debounce' | 'throttle' | 'batch';

  /** Name of the workflow. */
  @PrimaryColumn({ type: 'text' })
  name!: string;

  /** Key of the starts. For a batch: version, queue, priority and queue key, in lines. */
  @PrimaryColumn({ type: 'text' })
  key!: string;

  /** Id of the run that counts, or of the batch. */
  @Column({ name: 'run_id', type: 'text' })
  runId!: string;

  /** Time of the first of these starts. */
  @Column({ name: 'first_at', type: 'timestamptz' })
  firstAt!: Date;

  /** Time until which the run counts. */
  @Column({ type: 'timestamptz' })
  until!: Date;

  /** Nonces of the last starts, by which a repeated start is recognized. */
  @Column({ type: 'bigint', array: true })
  nonces!: string[];

  /** Number of members of the batch. */
  @Column({ type: 'int', default: 0 })
  members!: number;
}
