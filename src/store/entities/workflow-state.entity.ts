import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A value that a run publishes with `ctx.setState`. */
@Entity({ name: 'workflow_state', synchronize: false })
export class WorkflowState {
  /** Id of the run. */
  @PrimaryColumn({ name: 'run_id', type: 'text' })
  runId!: string;

  /** Key under which the value is stored. */
  @PrimaryColumn({ type: 'text' })
  key!: string;

  /** Serialized value. */
  @Column({ type: 'json' })
  value!: unknown;

  /** Time of the last change. */
  @Column({ name: 'updated_at', type: 'timestamptz' })
  updatedAt!: Date;
}
