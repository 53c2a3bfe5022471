import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A workflow that an event starts, as the processes with its class have declared it. */
@Entity({ name: 'workflow_event_subscriptions', synchronize: false })
export class WorkflowEventSubscription {
  /** Name of the event. */
  @PrimaryColumn({ type: 'text' })
  event!: string;

  /** Name of the workflow. */
  @PrimaryColumn({ type: 'text' })
  workflow!: string;

  /** Id of the subscription; an empty text for the only one of this workflow and event. */
  @PrimaryColumn({ type: 'text' })
  id!: string;

  /** Top-level fields that the payload must have, as JSON text; an empty text for all payloads. */
  @PrimaryColumn({ type: 'text' })
  condition!: string;

  /** Queue of the runs. */
  @Column({ type: 'text' })
  queue!: string;

  /** True when only the class can make the run: it computes a queue key, or collects batches. */
  @Column({ name: 'needs_class', type: 'boolean' })
  needsClass!: boolean;

  /** Time when a process last confirmed the subscription. */
  @Column({ name: 'confirmed_at', type: 'timestamptz' })
  confirmedAt!: Date;
}
