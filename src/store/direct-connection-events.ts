import type { Notice } from './notifications.js';

/** Callbacks for events of the direct connection, which is the connection outside the pool. */
export interface DirectConnectionEvents {
  noticed(notice: Notice): void;
  /**
   * Called when the connection is lost or does not answer. The session's lock is lost with it, and
   * notices are missed until `connected` is called. When the returned promise settles, but after
   * half a second at the latest, the module closes a connection that does not answer. Until then,
   * this connection may still hold the lock.
   */
  lost(): Promise<void>;
  /**
   * Called when the connection is established, for the first time or again. Notices that were sent
   * since the last connection was lost have not arrived.
   */
  connected(): void;
  /**
   * Called when the connection works but receives no notifications from the pool. The module tries
   * again from time to time.
   */
  receivesNothing(): void;
  /** Called when the connection cannot be made: after a few failed attempts, then once a minute. */
  unreachable(error: unknown): void;
  /** Called when another callback has thrown an error. The connection stays open. */
  failed(error: unknown): void;
}
