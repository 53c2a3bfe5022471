/** What every write for owned runs must find: the row of its session, on the server on which what this process has was last found to be there. */
export interface SessionFence {
  readonly id: string;
  /** Which server, in which of its lives: see `SERVER`. */
  readonly server: string;
}
