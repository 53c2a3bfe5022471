import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A message to a run, kept until the run takes it. */
@Entity({ name: 'workflow_inbox', synchronize: false })
export class WorkflowInboxMessage {
  @PrimaryColumn({ name: 'run_id', type: 'text' })
  runId!: string;

  @PrimaryColumn({ type: 'bigint' })
  id!: string;

  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  @Column({ type: 'text' })
  kind!: 'cancel' | 'signal' | 'hook' | 'child' | 'child_failed';

  @Column({ type: 'text', nullable: true })
  name!: string | null;

  @Column({ name: 'idempotency_key', type: 'text', nullable: true })
  idempotencyKey!: string | null;

  @Column({ type: 'json', nullable: true })
  payload!: unknown;

  /** Size of the payload's text, in bytes. */
  @Column({ type: 'integer', insert: false, update: false })
  size!: number;

  /**
   * Approximate number of messages that the run had been sent up to this message. Only one message
   * in eight has this number; it is null for the others.
   */
  @Column({ type: 'bigint', nullable: true })
  place!: string | null;

  /** Approximate size in bytes of the messages that `place` counts. */
  @Column({ type: 'bigint', nullable: true })
  total!: string | null;
}
