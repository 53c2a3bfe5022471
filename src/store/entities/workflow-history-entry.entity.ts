import { Column, Entity, PrimaryColumn } from 'typeorm';

/** Something that happened to a run: a row of the view `workflow_history`. In the order of `at`, `rank`, `number`. */
@Entity({ name: 'workflow_history', synchronize: false })
export class WorkflowHistoryEntry {
  @PrimaryColumn({ name: 'run_id', type: 'text' })
  runId!: string;

  @PrimaryColumn({ type: 'timestamptz' })
  at!: Date;

  @PrimaryColumn({ type: 'integer' })
  rank!: number;

  @PrimaryColumn({ type: 'bigint' })
  number!: string;

  /** What happened; docs/operations.md lists them. */
  @Column({ type: 'text' })
  kind!: string;

  @Column({ name: 'step_key', type: 'text', nullable: true })
  stepKey!: string | null;

  /** A signal's name, the first characters of a hook's token, the id of another run. */
  @Column({ type: 'text', nullable: true })
  name!: string | null;

  @Column({ type: 'integer', nullable: true })
  attempt!: number | null;

  /** Under which claim of the run it happened. */
  @Column({ type: 'integer', nullable: true })
  epoch!: number | null;

  /** Of a step: when it began. */
  @Column({ name: 'started_at', type: 'timestamptz', nullable: true })
  startedAt!: Date | null;

  /** A payload. */
  @Column({ type: 'json', nullable: true })
  output!: unknown;

  /** A payload. */
  @Column({ type: 'json', nullable: true })
  error!: unknown;

  /** What else is known: of a request to cancel who made it and why, of a start the workflow. */
  @Column({ type: 'json', nullable: true })
  data!: unknown;
}
