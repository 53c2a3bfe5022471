import type { Notice } from './notifications.js';

/** Callbacks for events of the direct connection. */
export interface DirectConnectionEvents {
  noticed(notice: Notice): void;
  /**
   * The connection is lost or does not answer. The session's lock goes with it, and notices are
   * missed until `connected`. A connection that does not answer still holds the lock until the
   * returned promise settles or half a second has passed.
   */
  lost(): Promise<void>;
  /**
   * The connection is established, for the first time or again. Notices sent in the meantime were
   * missed.
   */
  connected(): void;
  /**
   * The connection was made, but notifications that the pool sends do not arrive on it. It is tried
   * again from time to time.
   */
  receivesNothing(): void;
  /** The connection cannot be made. Reported after a few attempts, and then once a minute. */
  unreachable(error: unknown): void;
  /** One of the other handlers threw an error. The connection continues. */
  failed(error: unknown): void;
}
