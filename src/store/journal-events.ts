/** Callbacks through which a journal reports events to its owner. */
export interface JournalEvents {
  /** The session has ended. Nothing of its runs has been written. */
  fenced(sessionId: string): void;
  /**
   * Another server answers than the one on which the session was last seen. Nothing of its runs has
   * been written. Resolves when `useSession` has been called with the session that is valid on the
   * new server.
   */
  moved(): Promise<void>;
  /** The database cannot be reached, or refuses the write. The journal tries again. */
  trouble(error: unknown): void;
}
