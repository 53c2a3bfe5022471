import type { Notice } from './notifications.js';

/** Callbacks for events of the direct connection, which is the connection outside the pool. */
export interface DirectConnectionEvents {
  noticed(notice: Notice): void;
  /**
   * Called when the connection is lost or does not answer. The session's lock is lost with it, and
   * notices are missed until `connected` is called. A connection that does not answer is closed
   * when the returned promise settles, after half a second at the latest. It holds the lock until
   * then.
   */
  lost(): Promise<void>;
  /**
   * Called when the connection is established, for the first time or again. Notices that were sent
   * while it was away are lost.
   */
  connected(): void;
  /**
   * Called when the connection works but receives no notifications from the pool. The module tries
   * again from time to time.
   */
  receivesNothing(): void;
  /** Called when the connection cannot be made: after a few attempts, and then once a minute. */
  unreachable(error: unknown): void;
  /** Called when another callback has thrown an error. The connection stays open. */
  failed(error: unknown): void;
}
