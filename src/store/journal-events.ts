/** Callbacks through which a journal reports events to its owner. */
export interface JournalEvents {
  /** Called when this process's session has ended. No write for the session's runs took effect. */
  fenced(sessionId: string): void;
  /**
   * Called when the answer came from another server than the one on which the session was last
   * seen. No write for the session's runs took effect. The promise resolves when `useSession` has
   * been called with a session that is valid on the new server.
   */
  moved(): Promise<void>;
  /**
   * Called when the database cannot be reached or refuses a write. The journal then tries again.
   */
  trouble(error: unknown): void;
}
