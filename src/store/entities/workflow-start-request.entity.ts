import { Column, Entity, PrimaryColumn } from 'typeorm';

/**
 * Start with `debounce` or `throttle` that a transaction of the application has made. After the
 * commit, the start is decided and the row is deleted.
 */
@Entity({ name: 'workflow_start_requests', synchronize: false })
export class WorkflowStartRequest {
  /** Id of the run that the transaction has created. */
  @PrimaryColumn({ name: 'run_id', type: 'text' })
  runId!: string;

  /** Order of the requests. */
  @Column({ type: 'bigint' })
  id!: string;

  /** Kind of the key. */
  @Column({ type: 'text' })
  kind!: 'debounce' | 'throttle';

  /** Name of the workflow. */
  @Column({ type: 'text' })
  name!: string;

  /** Key of the start. */
  @Column({ type: 'text' })
  key!: string;

  /** Option `period`, in milliseconds. */
  @Column({ name: 'period_ms', type: 'double precision' })
  periodMs!: number;

  /** Option `maxWait`, in milliseconds. */
  @Column({ name: 'max_wait_ms', type: 'double precision', nullable: true })
  maxWaitMs!: number | null;

  /** The `start_nonce` of the run. */
  @Column({ type: 'bigint' })
  nonce!: string;

  /** Time at which a run with `throttle` is due. Null when it is due at once. */
  @Column({ name: 'due_at', type: 'timestamptz', nullable: true })
  dueAt!: Date | null;
}
