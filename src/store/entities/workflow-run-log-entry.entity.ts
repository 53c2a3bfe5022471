import { Column, Entity, PrimaryColumn } from 'typeorm';

/**
 * An event of a run that no other row records: a failed attempt, a sent message, a request to
 * cancel, a lost worker, a blocked deployment.
 */
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

  /** Number of times that the run had been claimed when the event happened. */
  @Column({ type: 'integer', nullable: true })
  epoch!: number | null;

  /** Name of the signal, or first characters of the hook's token. */
  @Column({ type: 'text', nullable: true })
  name!: string | null;

  /** Idempotency key of a message: a second message with the same key is not sent. */
  @Column({ name: 'idempotency_key', type: 'text', nullable: true })
  idempotencyKey!: string | null;

  @Column({ type: 'json', nullable: true })
  data!: unknown;
}
