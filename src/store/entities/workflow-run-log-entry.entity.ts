import { Column, Entity, PrimaryColumn } from 'typeorm';

/** What happened to a run and shows in no other row: failed attempts, messages sent, requests to cancel, lost workers, blocked deployments. */
@Entity({ name: 'workflow_run_log', synchronize: false })
export class WorkflowRunLogEntry {
  @PrimaryColumn({ name: 'run_id', type: 'text' })
  runId!: string;

  @PrimaryColumn({ type: 'bigint' })
  id!: string;

  @Column({ type: 'timestamptz' })
  at!: Date;

  @Column({ type: 'text' })
  kind!: string;

  @Column({ name: 'step_key', type: 'text', nullable: true })
  stepKey!: string | null;

  @Column({ type: 'integer', nullable: true })
  attempt!: number | null;

  /** Under which claim of the run it happened. */
  @Column({ type: 'integer', nullable: true })
  epoch!: number | null;

  /** Of a message: the signal's name, or the first characters of the hook's token. */
  @Column({ type: 'text', nullable: true })
  name!: string | null;

  /** Under which a message is sent only once. */
  @Column({ name: 'idempotency_key', type: 'text', nullable: true })
  idempotencyKey!: string | null;

  @Column({ type: 'json', nullable: true })
  data!: unknown;
}
