import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A value that a run publishes with `ctx.setState`. */
@Entity({ name: 'workflow_state', synchronize: false })
export class WorkflowState {
  @PrimaryColumn({ name: 'run_id', type: 'text' })
  runId!: string;

  @PrimaryColumn({ type: 'text' })
  key!: string;

  @Column({ type: 'json' })
  value!: unknown;

  @Column({ name: 'updated_at', type: 'timestamptz' })
  updatedAt!: Date;
}
