import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A token with which an outside system resumes a run. The hook closes when the run ends. */
@Entity({ name: 'workflow_hooks', synchronize: false })
export class WorkflowHook {
  /** Secret token: anybody who has it can resume the run. */
  @PrimaryColumn({ type: 'text' })
  token!: string;

  /** Id of the run. */
  @Column({ name: 'run_id', type: 'text' })
  runId!: string;

  /** Key of the step that created the hook. */
  @Column({ name: 'step_key', type: 'text' })
  stepKey!: string;

  /** Time when the hook was created. */
  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  /** Time when the hook was closed; null while the hook is open. */
  @Column({ name: 'closed_at', type: 'timestamptz', nullable: true })
  closedAt!: Date | null;

  /** Names of the request headers that the workflow receives. */
  @Column({ type: 'text', array: true })
  headers!: string[];

  /** Name of the `@HookVerifier` that checks requests. */
  @Column({ type: 'text', nullable: true })
  verify!: string | null;

  /** Name of the request header that contains the id of a delivery. */
  @Column({ name: 'idempotency_header', type: 'text', nullable: true })
  idempotencyHeader!: string | null;
}
