import type { Statement } from '../database.js';
import { faultOf } from '../database-errors.js';
import { SERVER } from './server-identity.js';

const STATE: Statement = {
  name: 'durable_replication_state',
  text: () => `SELECT d.oid::text, ${SERVER}, pg_is_in_recovery(),
  CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text,
  extract(epoch FROM CASE WHEN pg_is_in_recovery() THEN pg_last_xact_replay_timestamp() ELSE clock_timestamp() END)::float8 * 1000
FROM pg_catalog.pg_database d WHERE d.datname = current_database()`,
};

const CLUSTER: Statement = {
  name: 'durable_read_cluster',
  text: () => 'SELECT system_identifier::text FROM pg_catalog.pg_control_system()',
};

/** Database that a connection leads to, and how far its server has come. */
export interface ReplicationState {
  /** PostgreSQL's identifier of the cluster. Null when the role may not read it. */
  readonly cluster: string | null;
  readonly databaseOid: string;
  /** Identity of the server process: see server-identity.ts. */
  readonly server: string;
  readonly isInRecovery: boolean;
  /**
   * End of the WAL that a primary has written or a standby has replayed, in bytes. Undefined when
   * the server does not say it.
   */
  readonly position: bigint | undefined;
  /**
   * Current time of a primary, or time of the last commit that a standby has replayed, in
   * milliseconds since the epoch. Both are times of the primary's clock.
   */
  readonly at: number | undefined;
}

/** Executes a statement without parameters on the server in question. */
export type Ask = (statement: Statement) => Promise<unknown[][]>;

/** Reads the replication state of a server, which may be a primary or a standby. */
export async function readReplicationState(ask: Ask): Promise<ReplicationState> {
  const [row] = await ask(STATE);
  const [databaseOid, server, isInRecovery, lsn, at] = row as [string, string, boolean, string | null, number | string | null];
  return {
    cluster: await readCluster(ask),
    databaseOid,
    server,
    isInRecovery,
    position: lsn === null ? undefined : positionOf(lsn),
    // The application may have replaced the type parser for float8, so the value may be text.
    at: at === null ? undefined : Number(at),
  };
}

/**
 * Reads PostgreSQL's identifier of the database cluster, which a standby shares with its primary.
 * Null when the role may not read it.
 */
export async function readCluster(ask: Ask): Promise<string | null> {
  try {
    const [row] = (await ask(CLUSTER)) as [string][];
    return row![0];
  } catch (error) {
    // Some providers do not allow roles to call pg_control_system().
    if (faultOf(error) === 'refused') return null;
    throw error;
  }
}

/** Converts a position in the WAL, such as `16/B374D848`, into bytes. */
function positionOf(lsn: string): bigint {
  const [high = '0', low = '0'] = lsn.split('/');
  return BigInt(`0x${high}`) * 2n ** 32n + BigInt(`0x${low}`);
}
