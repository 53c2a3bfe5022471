import { Column, Entity, PrimaryColumn } from 'typeorm';

/** What a run waits for: a sleep, the next attempt of a failed step, or the end of the time that a cancelled run has to clean up. Gone when it is over. */
@Entity({ name: 'workflow_waits', synchronize: false })
export class WorkflowWait {
  @PrimaryColumn({ name: 'run_id', type: 'text' })
  runId!: string;

  @PrimaryColumn({ name: 'step_key', type: 'text' })
  stepKey!: string;

  @Column({ type: 'text' })
  kind!: 'sleep' | 'retry' | 'grace';

  /** Computed once, when the wait began. */
  @Column({ name: 'wake_at', type: 'timestamptz', nullable: true })
  wakeAt!: Date | null;

  /** How many attempts of the step have failed. */
  @Column({ type: 'integer' })
  attempts!: number;

  @Column({ name: 'opened_at', type: 'timestamptz' })
  openedAt!: Date;
}
