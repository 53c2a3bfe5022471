import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A tag of a run. */
@Entity({ name: 'workflow_tags', synchronize: false })
export class WorkflowTag {
  /** Id of the run. */
  @PrimaryColumn({ name: 'run_id', type: 'text' })
  runId!: string;

  /** Key of the tag. */
  @PrimaryColumn({ type: 'text' })
  key!: string;

  /** Text of the tag. */
  @Column({ type: 'text' })
  value!: string;
}
