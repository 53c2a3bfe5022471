import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A tag of a run. */
@Entity({ name: 'workflow_tags', synchronize: false })
export class WorkflowTag {
  @PrimaryColumn({ name: 'run_id', type: 'text' })
  runId!: string;

  @PrimaryColumn({ type: 'text' })
  key!: string;

  @Column({ type: 'text' })
  value!: string;
}
