import { Column, Entity, PrimaryColumn } from 'typeorm';

import type { StepKind } from '../../core/step.js';

/**
 * A recorded operation of a run. The table contains only results: a step that is being executed has
 * no row.
 */
@Entity({ name: 'workflow_steps', synchronize: false })
export class WorkflowStep {
  /** Id of the run. */
  @PrimaryColumn({ name: 'run_id', type: 'text' })
  runId!: string;

  /** Key of the step. */
  @PrimaryColumn({ name: 'step_key', type: 'text' })
  stepKey!: string;

  /** Kind of the recorded operation. */
  @Column({ type: 'text' })
  kind!: StepKind;

  /** Status of the step. */
  @Column({ type: 'text' })
  status!: 'completed' | 'failed';

  /** Place of the result in the order in which the workflow received its results. */
  @Column({ type: 'integer' })
  seq!: number;

  /** Number of times that the run had been claimed when the step was recorded. */
  @Column({ type: 'integer' })
  epoch!: number;

  /** Number of times that the step body was executed. */
  @Column({ type: 'integer' })
  attempts!: number;

  /** Serialized output; null when no output was recorded. */
  @Column({ type: 'json', nullable: true })
  output!: unknown;

  /** Serialized error; null when no error was recorded. */
  @Column({ type: 'json', nullable: true })
  error!: unknown;

  /** Time when the step started. */
  @Column({ name: 'started_at', type: 'timestamptz' })
  startedAt!: Date;

  /** Time when the step ended. */
  @Column({ name: 'finished_at', type: 'timestamptz' })
  finishedAt!: Date;

  /** Number of results that had been delivered to the workflow when it called the step. */
  @Column({ name: 'called_after', type: 'integer' })
  calledAfter!: number;

  /**
   * True when the workflow called the step after ordinary I/O, and not directly after it received a
   * result.
   */
  @Column({ name: 'called_after_io', type: 'boolean' })
  calledAfterIo!: boolean;

  /** Hash of the step's arguments. Null when the arguments cannot be compared. */
  @Column({ name: 'args_hash', type: 'integer', nullable: true })
  argsHash!: number | null;

  /**
   * Serialized arguments with which the step's compensation is called. Null for a step without a
   * compensation.
   */
  @Column({ name: 'compensate_args', type: 'json', nullable: true })
  compensateArgs!: unknown;
}
