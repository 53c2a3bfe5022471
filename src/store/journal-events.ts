/** Callbacks through which a journal reports events to its owner. */
export interface JournalEvents {
  /** Called when the session has ended. None of the writes for its runs took effect. */
  fenced(sessionId: string): void;
  /**
   * Called when another server answers than the one on which the session was last seen. None of the
   * writes for its runs took effect. The promise resolves when `useSession` has been called with a
   * session that is valid on the new server.
   */
  moved(): Promise<void>;
  /**
   * Called when the database cannot be reached or refuses a write. The journal then tries again.
   */
  trouble(error: unknown): void;
}
