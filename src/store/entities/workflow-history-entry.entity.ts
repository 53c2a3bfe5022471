import { Column, Entity, PrimaryColumn } from 'typeorm';

/**
 * An event in a run's history: a row of the view `workflow_history`. The order of a run's events is
 * `at`, `rank`, `number`.
 */
@Entity({ name: 'workflow_history', synchronize: false })
export class WorkflowHistoryEntry {
  /** Id of the run. */
  @PrimaryColumn({ name: 'run_id', type: 'text' })
  runId!: string;

  /** Time of the event. */
  @PrimaryColumn({ type: 'timestamptz' })
  at!: Date;

  /** Order of events of the same time. */
  @PrimaryColumn({ type: 'integer' })
  rank!: number;

  /** Order of events of the same time and rank. */
  @PrimaryColumn({ type: 'bigint' })
  number!: string;

  /** Kind of the event. docs/operations.md lists all kinds. */
  @Column({ type: 'text' })
  kind!: string;

  /** Key of the step. */
  @Column({ name: 'step_key', type: 'text', nullable: true })
  stepKey!: string | null;

  /** Name of a signal, first characters of a hook's token, or id of another run. */
  @Column({ type: 'text', nullable: true })
  name!: string | null;

  /** Number of a failed attempt, from 1, or the number of attempts that a step took. */
  @Column({ type: 'integer', nullable: true })
  attempt!: number | null;

  /** Number of times that the run had been claimed when the event happened. */
  @Column({ type: 'integer', nullable: true })
  epoch!: number | null;

  /** Time when a step began. */
  @Column({ name: 'started_at', type: 'timestamptz', nullable: true })
  startedAt!: Date | null;

  /** Serialized output of a step or a run. */
  @Column({ type: 'json', nullable: true })
  output!: unknown;

  /** Serialized error of a step or a run. */
  @Column({ type: 'json', nullable: true })
  error!: unknown;

  /** Other details: who requested a cancellation and why, or the workflow of a started run. */
  @Column({ type: 'json', nullable: true })
  data!: unknown;
}
