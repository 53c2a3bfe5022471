import { Column, Entity, PrimaryColumn } from 'typeorm';

/** Place of a limit that a step has while its body is executed. The place ends with the session. */
@Entity({ name: 'workflow_step_places', synchronize: false })
export class WorkflowStepPlace {
  /** Id of the run. */
  @PrimaryColumn({ name: 'run_id', type: 'text' })
  runId!: string;

  /** Key of the step. */
  @PrimaryColumn({ name: 'step_key', type: 'text' })
  stepKey!: string;

  /** Name of the limit. */
  @Column({ type: 'text' })
  name!: string;

  /** Queue key of the run; empty without one. */
  @Column({ type: 'text' })
  key!: string;

  /** Session that executes the step. */
  @Column({ name: 'session_id', type: 'bigint' })
  sessionId!: string;

  /** Time at which the step took the place. */
  @Column({ name: 'taken_at', type: 'timestamptz' })
  takenAt!: Date;
}
