import { Column, Entity, PrimaryColumn } from 'typeorm';

/** An event that a run has received. */
@Entity({ name: 'workflow_event_receipts', synchronize: false })
export class WorkflowEventReceipt {
  /** Id of the run. */
  @PrimaryColumn({ name: 'run_id', type: 'text' })
  runId!: string;

  /** Number of the event. */
  @PrimaryColumn({ name: 'event_seq', type: 'bigint' })
  eventSeq!: string;

  /**
   * Key of the step that received the event. An empty text when a run that this run continues has
   * received it.
   */
  @Column({ name: 'step_key', type: 'text' })
  stepKey!: string;
}
