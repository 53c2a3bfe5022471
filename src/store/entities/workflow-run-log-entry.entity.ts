import { Column, Entity, PrimaryColumn } from 'typeorm';

/**
 * An event of a run that no other row records: a failed attempt, a sent message, a request to
 * cancel, a lost worker, a blocked deployment.
 */
@Entity({ name: 'workflow_run_log', synchronize: false })
export class WorkflowRunLogEntry {
  /** Id of the run. */
  @PrimaryColumn({ name: 'run_id', type: 'text' })
  runId!: string;

  /** Id of the event. */
  @PrimaryColumn({ type: 'bigint' })
  id!: string;

  /** Time of the event. */
  @Column({ type: 'timestamptz' })
  at!: Date;

  /** Kind of the event. docs/operations.md lists all kinds. */
  @Column({ type: 'text' })
  kind!: string;

  /** Key of the step. */
  @Column({ name: 'step_key', type: 'text', nullable: true })
  stepKey!: string | null;

  /** Number of the attempt, from 1. */
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

  /** Further details of the event, as a JSON object. */
  @Column({ type: 'json', nullable: true })
  data!: unknown;
}
