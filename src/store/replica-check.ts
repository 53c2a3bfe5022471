import type { ReplicationState } from './sql/replica.js';

/** The server is no replica of the module's database, so its rows must not be shown. */
export class ReplicaRefusedError extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'ReplicaRefusedError';
  }
}

/** Lag of a replica. Both values are undefined while the primary does not answer. */
export interface ReplicaLag {
  /** Bytes of WAL that the replica has not replayed. */
  readonly lagBytes: number | undefined;
  /**
   * Milliseconds since the last commit that the replica has replayed, by the clock of the primary;
   * 0 when the replica has replayed everything.
   */
  readonly lagMs: number | undefined;
}

/**
 * Checks that a server is a standby of the module's database, or the same server.
 *
 * @throws ReplicaRefusedError
 */
export function checkReplica(replica: ReplicationState, primary: ReplicationState): void {
  if (replica.cluster !== null && primary.cluster !== null && replica.cluster !== primary.cluster) {
    throw new ReplicaRefusedError("the server belongs to another cluster than the module's database (another system identifier)");
  }
  if (replica.databaseOid !== primary.databaseOid) throw new ReplicaRefusedError("the URL names another database than the module's");
  // A standby that was promoted, and a restored copy of the cluster, have the same identifiers.
  if (!replica.isInRecovery && replica.server !== primary.server) {
    throw new ReplicaRefusedError("the server is no standby: it takes writes of its own, so its rows may differ from the module's");
  }
}

/**
 * Computes how far a replica is behind.
 *
 * @param primary state that was read before the state of the replica; undefined when the primary
 *   does not answer
 */
export function lagOf(replica: ReplicationState, primary: ReplicationState | undefined): ReplicaLag {
  if (primary?.position === undefined || replica.position === undefined) return { lagBytes: undefined, lagMs: undefined };
  const lagBytes = Math.max(0, Number(primary.position - replica.position));
  if (lagBytes === 0) return { lagBytes: 0, lagMs: 0 };
  const isTimed = primary.at !== undefined && replica.at !== undefined;
  return { lagBytes, lagMs: isTimed ? Math.max(0, Math.round(primary.at - replica.at)) : undefined };
}
