import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A way for the outside world to resume a run. Whoever knows the token can do so. */
@Entity({ name: 'workflow_hooks', synchronize: false })
export class WorkflowHook {
  @PrimaryColumn({ type: 'text' })
  token!: string;

  @Column({ name: 'run_id', type: 'text' })
  runId!: string;

  @Column({ name: 'step_key', type: 'text' })
  stepKey!: string;

  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  @Column({ name: 'closed_at', type: 'timestamptz', nullable: true })
  closedAt!: Date | null;

  /** The request headers that the workflow wants to see. */
  @Column({ type: 'text', array: true })
  headers!: string[];

  /** Who checks requests. */
  @Column({ type: 'text', nullable: true })
  verify!: string | null;
}
