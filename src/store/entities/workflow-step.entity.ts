import { Column, Entity, PrimaryColumn } from 'typeorm';

import type { StepKind } from '../../core/step.js';

/**
 * A recorded operation of a run. The table contains only results: a step that is being executed has
 * no row.
 */
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

  /** Place in the order in which results entered the workflow. */
  @Column({ type: 'integer' })
  seq!: number;

  /** Number of the claim of the run under which the step was recorded. */
  @Column({ type: 'integer' })
  epoch!: number;

  /** Number of attempts of the body. */
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

  /** Number of results that had been delivered to the workflow when it called the step. */
  @Column({ name: 'called_after', type: 'integer' })
  calledAfter!: number;

  /** True when the call followed ordinary I/O instead of a delivered result. */
  @Column({ name: 'called_after_io', type: 'boolean' })
  calledAfterIo!: boolean;

  /** Fingerprint of the arguments; null when they cannot be compared. */
  @Column({ name: 'args_hash', type: 'integer', nullable: true })
  argsHash!: number | null;
}
