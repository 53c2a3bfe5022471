import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A run that QStash had to be told of again, because nobody had taken it. */
@Entity({ name: 'workflow_outbox', synchronize: false })
export class WorkflowOutboxEntry {
  @PrimaryColumn({ name: 'run_id', type: 'text' })
  runId!: string;

  /** Which of the times that the run wanted to be executed it was. */
  @Column({ type: 'text' })
  seq!: string;

  /** How often it was told of again. */
  @Column({ type: 'int' })
  attempts!: number;

  /** When the next time is. */
  @Column({ name: 'next_at', type: 'timestamptz' })
  nextAt!: Date;
}
