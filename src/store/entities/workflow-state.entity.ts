import { Column, Entity, PrimaryColumn } from 'typeorm';

/** What a run shows of itself, by `ctx.setState`. */
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
