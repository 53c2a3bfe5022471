/**
 * Condition of every write for the runs of a session: the session's row still exists, and the
 * server is the one that was last verified.
 */
export interface SessionFence {
  readonly id: string;
  /** Identity of the server, including its timeline: see `SERVER`. */
  readonly server: string;
}
