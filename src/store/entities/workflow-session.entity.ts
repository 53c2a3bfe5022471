import { Column, Entity, PrimaryColumn } from 'typeorm';

/**
 * Session of a worker process, which gives it the right to own runs. A process whose row was
 * deleted can no longer write for its runs.
 */
@Entity({ name: 'workflow_sessions', synchronize: false })
export class WorkflowSession {
  /** Id of the session. */
  @PrimaryColumn({ type: 'bigint' })
  id!: string;

  /** Kind of the session. */
  @Column({ type: 'text' })
  kind!: string;

  /** Host name of the process. */
  @Column({ type: 'text' })
  host!: string;

  /** Process id. */
  @Column({ type: 'integer' })
  pid!: number;

  /** Id of the deployment that the process executes. */
  @Column({ name: 'deployment_id', type: 'text' })
  deploymentId!: string;

  /** Time when the session began. */
  @Column({ name: 'started_at', type: 'timestamptz' })
  startedAt!: Date;

  /** Time of the last heartbeat. */
  @Column({ name: 'heartbeat_at', type: 'timestamptz' })
  heartbeatAt!: Date;

  /** Time when the session expires without another heartbeat. */
  @Column({ name: 'expires_at', type: 'timestamptz' })
  expiresAt!: Date;

  /**
   * True while the session holds an advisory lock on its direct connection. The lock is freed when
   * the process dies.
   */
  @Column({ name: 'holds_lock', type: 'boolean' })
  holdsLock!: boolean;

  /**
   * Id of the run that the process executes alone, to find out whether this run makes workers die.
   */
  @Column({ name: 'exclusive_run_id', type: 'text', nullable: true })
  exclusiveRunId!: string | null;

  /**
   * Kinds of runs that the process claims: queue, workflow and version of each kind, separated by
   * line breaks.
   */
  @Column({ type: 'text', array: true, default: [] })
  serves!: string[];

  /**
   * Step bodies that have been running for a second or more. `since` is in milliseconds since 1970.
   */
  @Column({ type: 'json', nullable: true })
  bodies!: { runId: string; stepKey: string; attempt: number; since: number }[] | null;
}
