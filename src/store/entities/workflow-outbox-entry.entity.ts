import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A run that had to be announced to QStash again, because no worker had claimed it. */
@Entity({ name: 'workflow_outbox', synchronize: false })
export class WorkflowOutboxEntry {
  /** Id of the run. */
  @PrimaryColumn({ name: 'run_id', type: 'text' })
  runId!: string;

  /**
   * Epoch and wake counter of the run. The pair is different for each time that the run becomes
   * due.
   */
  @Column({ type: 'text' })
  seq!: string;

  /** Number of repeated announcements. */
  @Column({ type: 'int' })
  attempts!: number;

  /** Time of the next announcement. */
  @Column({ name: 'next_at', type: 'timestamptz' })
  nextAt!: Date;
}
