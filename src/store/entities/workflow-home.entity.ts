import { Column, Entity, PrimaryColumn } from 'typeorm';

/**
 * Cluster, database and environment to which the runs belong, in a single row. A copy of the
 * database contains the same row but lies elsewhere, so a process can detect the copy and does not
 * execute its runs.
 */
@Entity({ name: 'workflow_home', synchronize: false })
export class WorkflowHome {
  /** Always 1. */
  @PrimaryColumn({ type: 'smallint' })
  id!: number;

  /** PostgreSQL's identifier of the cluster. Null when the role may not read it. */
  @Column({ name: 'system_identifier', type: 'text', nullable: true })
  systemIdentifier!: string | null;

  /** PostgreSQL's object id of the database. */
  @Column({ name: 'database_oid', type: 'text' })
  databaseOid!: string;

  /** Option `environment` of the processes that execute the runs. */
  @Column({ type: 'text', nullable: true })
  environment!: string | null;

  /** Time when the row was written. */
  @Column({ name: 'recorded_at', type: 'timestamptz' })
  recordedAt!: Date;
}
