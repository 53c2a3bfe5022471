import { sleep } from '../../core/timers.js';
import type { QueueHandler } from '../contract.js';
import type { Announcement, MessageStore, TakenMessage } from '../store/message-store.js';
import type { Leases } from './lease.js';

/** Seconds until a failed message is delivered again, for the first failures and for later ones. */
const RETRY_SECONDS = 5;
const LATE_RETRY_SECONDS = 60;
const FAST_RETRIES = 32;
/** Number of tries of recording the outcome, and milliseconds between two of them. */
const TRIES = 5;
const PAUSE_MS = 500;

/** Outcome of a delivery; `seconds` until the message is due again. */
export type Outcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'later' | 'failed'; readonly seconds: number; readonly error?: unknown; readonly next?: Announcement | undefined };

/**
 * Seconds until the next delivery after some failures. A message is never given up: the runtime
 * itself ends a run whose messages fail too often.
 */
function retrySeconds(failures: number): number {
  return failures <= FAST_RETRIES ? RETRY_SECONDS : LATE_RETRY_SECONDS;
}

/**
 * Hands a message to the kit, and records the outcome. The lease is kept until then.
 *
 * @returns the outcome, which is durable
 * @throws the error of the database when the outcome could not be recorded; the message is
 *   delivered again when the lease expires
 */
export function deliver(store: MessageStore, leases: Leases, message: TakenMessage, handler: QueueHandler): Promise<Outcome> {
  return leases.keep(store, message, async () => {
    const outcome = await execute(message, handler);
    if (outcome.kind === 'done') {
      await record(() => store.delete(message));
      return outcome;
    }
    return { ...outcome, next: await record(() => store.putOff(message, outcome.seconds, outcome.kind === 'failed' ? 1 : 0)) };
  });
}

async function execute({ id, queue, body, failures }: TakenMessage, handler: QueueHandler): Promise<Outcome> {
  try {
    const result = await handler(body, { queueName: queue, messageId: id, attempt: failures + 1 });
    const seconds = result?.timeoutSeconds;
    return typeof seconds === 'number' && seconds >= 0 ? { kind: 'later', seconds } : { kind: 'done' };
  } catch (error) {
    return { kind: 'failed', seconds: retrySeconds(failures + 1), error };
  }
}

async function record<T>(write: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await write();
    } catch (error) {
      if (tries === TRIES) throw error;
      await sleep(PAUSE_MS);
    }
  }
}
