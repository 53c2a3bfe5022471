import type { QueueHandler } from '../contract.js';
import type { MessageStore, TakenMessage } from '../store/message-store.js';
import { deliver } from './delivery.js';
import { LEASE_SECONDS } from './lease.js';

/** Header with the id of the delivered message. */
export const MESSAGE_HEADER = 'x-durable-message';
/** Header with the lease of the claim: a secret that is good for one delivery. */
export const LEASE_HEADER = 'x-durable-lease';

/**
 * Takes a message from a request that is not one of the poller; undefined for a request that is not
 * genuine.
 */
export type TakePushed = (request: Request) => Promise<TakenMessage | 'forged' | 'nothing' | undefined>;

/** Parts that a handler needs. */
export interface HandlerParts {
  readonly store: () => Promise<MessageStore>;
  /** Takes messages that QStash delivers. */
  readonly takePushed: TakePushed | undefined;
  /** Called with the seconds after which a message is due again. */
  readonly putOff: (message: TakenMessage, seconds: number) => Promise<void>;
  readonly warn: (text: string, error: unknown) => void;
}

/**
 * Creates the handler of one of the kit's routes.
 *
 * The request only names a message and the lease of its claim. The message itself is read from the
 * database, so that bytes come out as they went in, and nobody without the lease can make the
 * application do anything.
 */
export function createHandler(prefix: string, handler: QueueHandler, parts: HandlerParts): (request: Request) => Promise<Response> {
  return async (request) => {
    try {
      const store = await parts.store();
      const message = await take(request, store, parts.takePushed);
      if (message === undefined) return answer(400, { error: `the headers ${MESSAGE_HEADER} and ${LEASE_HEADER} are missing` });
      if (message === 'forged') return answer(401, { error: 'the delivery is not genuine, or its lease has expired' });
      if (message === 'nothing') return answer(200, { ok: true });
      if (!message.queue.startsWith(prefix)) {
        await store.putOff(message, 1, 0);
        return answer(400, { error: `queue ${message.queue} does not begin with ${prefix}` });
      }
      const outcome = await deliver(store, message, handler);
      if (outcome.kind !== 'done') await parts.putOff(message, outcome.seconds);
      if (outcome.kind === 'failed') {
        parts.warn(`a delivery of message ${message.id} failed`, outcome.error);
        return answer(500, { error: 'the delivery failed' });
      }
      return outcome.kind === 'done' ? answer(200, { ok: true }) : answer(200, { timeoutSeconds: outcome.seconds });
    } catch (error) {
      parts.warn('a delivery could not be recorded', error);
      return answer(503, { error: 'the database of the World does not answer' });
    }
  };
}

async function take(
  request: Request,
  store: MessageStore,
  takePushed: TakePushed | undefined,
): Promise<TakenMessage | 'forged' | 'nothing' | undefined> {
  const id = request.headers.get(MESSAGE_HEADER);
  const lease = request.headers.get(LEASE_HEADER);
  if (id === null || lease === null) return takePushed?.(request);
  return (await store.take(id, lease, LEASE_SECONDS)) ?? 'forged';
}

function answer(status: number, body: object): Response {
  return new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json' } });
}
