/**
 * Condition of every write for the runs of a session: the session's row still exists, and the
 * server is the one that was last verified.
 */
export interface SessionFence {
  readonly id: string;
  /** Identity of the server: its start time, as read by `SERVER` in sql/server-identity.ts. */
  readonly server: string;
}
