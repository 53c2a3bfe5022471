/**
 * Condition of every write for runs of a session: the session's row exists, on the server that was
 * last verified.
 */
export interface SessionFence {
  readonly id: string;
  /** Identity of the server, including its timeline: see `SERVER`. */
  readonly server: string;
}
