import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A token with which the outside world resumes a run. Closed when the run has ended. */
@Entity({ name: 'workflow_hooks', synchronize: false })
export class WorkflowHook {
  /** Whoever has it resumes the run: do not show it around. */
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

  /** The request headers that the workflow gets. */
  @Column({ type: 'text', array: true })
  headers!: string[];

  /** The name of the `@HookVerifier` that checks requests. */
  @Column({ type: 'text', nullable: true })
  verify!: string | null;

  /** The request header that names a delivery. */
  @Column({ name: 'idempotency_header', type: 'text', nullable: true })
  idempotencyHeader!: string | null;
}
