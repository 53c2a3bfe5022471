import { Column, Entity, PrimaryColumn } from 'typeorm';

import type { OpenWait } from '../../core/step.js';

/**
 * What a run waits for: a sleep, a signal, a hook, a child run, the next attempt of a failed step, or the end of the time that a run that was stopped has to clean up.
 * Gone when it is over.
 */
@Entity({ name: 'workflow_waits', synchronize: false })
export class WorkflowWait {
  @PrimaryColumn({ name: 'run_id', type: 'text' })
  runId!: string;

  @PrimaryColumn({ name: 'step_key', type: 'text' })
  stepKey!: string;

  @Column({ type: 'text' })
  kind!: OpenWait['kind'];

  /** What is waited for: a signal's name, a hook's token, a child's run id. */
  @Column({ type: 'text', nullable: true })
  name!: string | null;

  /** Computed once, when the wait began. */
  @Column({ name: 'wake_at', type: 'timestamptz', nullable: true })
  wakeAt!: Date | null;

  /** How many attempts of the step have failed. */
  @Column({ type: 'integer' })
  attempts!: number;

  @Column({ name: 'opened_at', type: 'timestamptz' })
  openedAt!: Date;
}
