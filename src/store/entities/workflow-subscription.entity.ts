import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A listener of any process, with the run event that it receives. */
@Entity({ name: 'workflow_subscriptions', synchronize: false })
export class WorkflowSubscription {
  /** Method, event and workflow of the listener. */
  @PrimaryColumn({ type: 'text' })
  listener!: string;

  /** Name of the event. */
  @Column({ type: 'text' })
  event!: string;

  /** Name of the workflow; an empty text for all workflows. */
  @Column({ type: 'text' })
  workflow!: string;

  /**
   * Time after which no events are recorded for the listener. Processes with the listener move it
   * forward.
   */
  @Column({ name: 'expires_at', type: 'timestamptz' })
  expiresAt!: Date;
}
