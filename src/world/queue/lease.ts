import { clearInterval, setInterval } from '../../core/timers.js';
import type { MessageStore, TakenMessage } from '../store/message-store.js';

/**
 * Seconds that a delivery owns its message without a sign of life. A worker that is killed is
 * noticed after this time.
 */
export const LEASE_SECONDS = 15;

/**
 * Extends the lease of one delivery until the returned function is called. A step may run for
 * hours. Each delivery has a timer of its own: a second delivery of the same message must not end
 * the heartbeat of the first.
 */
export function keepLease(store: MessageStore, message: TakenMessage): () => void {
  const timer = setInterval(
    () => {
      // A heartbeat that fails is repeated by the next one.
      void store.extend(message, LEASE_SECONDS).catch(() => undefined);
    },
    (LEASE_SECONDS * 1_000) / 3,
  );
  return () => clearInterval(timer);
}
