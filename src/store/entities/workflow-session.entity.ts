import { Column, Entity, PrimaryColumn } from 'typeorm';

/** One worker process's right to own runs. Whoever deletes the row has fenced the worker off. */
@Entity({ name: 'workflow_sessions', synchronize: false })
export class WorkflowSession {
  @PrimaryColumn({ type: 'bigint' })
  id!: string;

  @Column({ type: 'text' })
  kind!: string;

  @Column({ type: 'text' })
  host!: string;

  @Column({ type: 'integer' })
  pid!: number;

  @Column({ name: 'deployment_id', type: 'text' })
  deploymentId!: string;

  @Column({ name: 'started_at', type: 'timestamptz' })
  startedAt!: Date;

  @Column({ name: 'heartbeat_at', type: 'timestamptz' })
  heartbeatAt!: Date;

  @Column({ name: 'expires_at', type: 'timestamptz' })
  expiresAt!: Date;

  /** Whether an advisory lock on its direct connection tells of its death. */
  @Column({ name: 'holds_lock', type: 'boolean' })
  holdsLock!: boolean;

  /** The run that is executed with no other beside it. */
  @Column({ name: 'exclusive_run_id', type: 'text', nullable: true })
  exclusiveRunId!: string | null;

  /** What the process claims: queue, workflow and version of each kind, a line break between them. */
  @Column({ type: 'text', array: true, default: [] })
  serves!: string[];

  /** Bodies of steps that have been under way for a second or more. */
  @Column({ type: 'json', nullable: true })
  bodies!: { runId: string; stepKey: string; attempt: number; since: number }[] | null;
}
