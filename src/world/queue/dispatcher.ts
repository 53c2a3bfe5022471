import type { Announcement, ClaimedMessage, TakenMessage } from '../store/message-store.js';

/** Brings about the delivery of messages that the database holds: the poller, or QStash. */
export interface Dispatcher {
  /** Tells that a message becomes due. A lost announcement does no harm. Never rejects. */
  announce(message: Announcement, delaySeconds: number): Promise<void>;
  /**
   * Takes the message of a request that is not one of the poller; undefined where no such requests
   * exist, `nothing` for a genuine one without work.
   *
   * @param prefix prefix of the queues of the route that the request has reached
   */
  take?(request: Request, prefix: string): Promise<TakenMessage | 'forged' | 'nothing' | undefined>;
  /**
   * Reserves room for one message that this process delivers as soon as the message is stored.
   * Returns false when other messages come first. `use` must follow.
   */
  reserve?(): boolean;
  /** Ends a reservation: delivers the message, if there is one. */
  use?(message: ClaimedMessage | undefined): void;
  start(): Promise<void>;
  stop(): Promise<void>;
}
