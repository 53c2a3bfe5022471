import { Column, Entity, PrimaryColumn } from 'typeorm';

/** Rate limit of one key of a queue, or of a limit of steps. */
@Entity({ name: 'workflow_queue_keys', synchronize: false })
export class WorkflowQueueKey {
  /** `queue`, or `step` for a limit of steps. */
  @PrimaryColumn({ type: 'text' })
  kind!: 'queue' | 'step';

  /** Name of the queue or of the limit. */
  @PrimaryColumn({ type: 'text' })
  name!: string;

  /** Queue key of the runs. */
  @PrimaryColumn({ type: 'text' })
  key!: string;

  /** Theoretical arrival time of the rate limit. */
  @Column({ name: 'arrival_at', type: 'timestamptz' })
  arrivalAt!: Date;
}
