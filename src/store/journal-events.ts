import type { LogFields } from '../core/log-fields.js';

/** Callbacks through which a journal reports events to its owner. */
export interface JournalEvents {
  /**
   * Called when a flush finds that this process's session has ended. The flush has written nothing
   * for the session's runs.
   */
  fenced(sessionId: string): void;
  /**
   * Called when a flush reached a different server from the one on which the session was last seen.
   * The flush has written nothing for the session's runs. The promise resolves when `useSession`
   * has been called with a session that is valid on the new server.
   */
  moved(): Promise<void>;
  /**
   * Called when the database cannot be reached or refuses a write. The journal then tries again.
   *
   * @param fields ids of the run that cannot be written, if there is one such run
   */
  trouble(error: unknown, fields?: LogFields): void;
  /**
   * Called when a flush has been written, or has failed. Absent when nobody counts flushes.
   *
   * @param ms duration of the statement, in milliseconds
   * @param entries transitions of the flush
   */
  flushed?(outcome: 'written' | 'failed', ms: number, entries: readonly { readonly bytes: number }[]): void;
}
