/** Callbacks through which a journal tells its surroundings what happens. */
export interface JournalEvents {
  /** The session is gone: nothing of its runs has been written. */
  fenced(sessionId: string): void;
  /**
   * Another server answers than the one that the session was last seen on, and nothing of its runs has been written. Resolves when `useSession` has
   * been called with what holds there.
   */
  moved(): Promise<void>;
  /** The database cannot be reached, or refuses; it is tried again. */
  trouble(error: unknown): void;
}
