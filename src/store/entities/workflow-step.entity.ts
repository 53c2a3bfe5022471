import { Column, Entity, PrimaryColumn } from 'typeorm';

import type { StepKind } from '../../core/step.js';

/** A recorded operation of a run. The table holds results only: a step that is being executed has no row. */
@Entity({ name: 'workflow_steps', synchronize: false })
export class WorkflowStep {
  @PrimaryColumn({ name: 'run_id', type: 'text' })
  runId!: string;

  @PrimaryColumn({ name: 'step_key', type: 'text' })
  stepKey!: string;

  @Column({ type: 'text' })
  kind!: StepKind;

  @Column({ type: 'text' })
  status!: 'completed' | 'failed';

  /** The place in the order in which results entered the workflow. */
  @Column({ type: 'integer' })
  seq!: number;

  /** Under which claim of the run it was recorded. */
  @Column({ type: 'integer' })
  epoch!: number;

  /** How many times the body was tried. */
  @Column({ type: 'integer' })
  attempts!: number;

  @Column({ type: 'json', nullable: true })
  output!: unknown;

  @Column({ type: 'json', nullable: true })
  error!: unknown;

  @Column({ name: 'started_at', type: 'timestamptz' })
  startedAt!: Date;

  @Column({ name: 'finished_at', type: 'timestamptz' })
  finishedAt!: Date;

  /** How many results had been delivered to the workflow when it called the step. */
  @Column({ name: 'called_after', type: 'integer' })
  calledAfter!: number;

  /** Whether the call came out of ordinary I/O instead of following a delivery at once. */
  @Column({ name: 'called_after_io', type: 'boolean' })
  calledAfterIo!: boolean;

  /** A fingerprint of the arguments; null when they cannot be compared. */
  @Column({ name: 'args_hash', type: 'integer', nullable: true })
  argsHash!: number | null;
}
