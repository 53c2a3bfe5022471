/** Work that any process may do for all others: whichever process begins first does it. */
export interface Sweep {
  /** Log line for a run of the sweep that failed. */
  readonly failure: string;
  /** Milliseconds between two runs in a process that sweeps all the time. */
  readonly everyMs: number;
  /**
   * Does what is due.
   *
   * @param signal aborted when no further work may begin
   * @returns milliseconds until more is due; undefined when nothing more is known
   */
  run(signal: AbortSignal): Promise<number | undefined>;
}
