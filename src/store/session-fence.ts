/**
 * Condition of every write for the runs of a session: the session's row still exists, and the
 * server is the one that was last verified.
 */
export interface SessionFence {
  readonly id: string;
  /** Identity of the server: its start time, as read by `SERVER` in sql/server-identity.ts. */
  readonly server: string;
}

/**
 * Returns a fence for a session that has ended. No server has the identity in this fence, so a
 * statement with this fence writes nothing for the runs of the session.
 */
export function fenceOfEndedSession(id: string): SessionFence {
  return { id, server: '' };
}
