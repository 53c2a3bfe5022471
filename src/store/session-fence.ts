/**
 * Condition of every write for owned runs: the row of the session must exist, on the server on
 * which the session's data were last verified.
 */
export interface SessionFence {
  readonly id: string;
  /** Identity of the server and its timeline: see `SERVER`. */
  readonly server: string;
}
