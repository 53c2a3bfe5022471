import type { QueueHandler } from '../contract.js';
import type { MessageStore, TakenMessage } from '../store/message-store.js';
import { deliver, type Outcome } from './delivery.js';
import { takeClaim } from './claims.js';
import type { Dispatcher } from './dispatcher.js';
import { LEASE_HEADER, MESSAGE_HEADER } from './headers.js';
import { LEASE_SECONDS, type Leases } from './lease.js';

/** Parts that a handler needs. */
export interface HandlerParts {
  readonly store: () => Promise<MessageStore>;
  readonly dispatcher: Dispatcher;
  readonly leases: Leases;
  readonly warn: (text: string, error: unknown) => void;
}

/**
 * Creates the handler of one of the kit's routes.
 *
 * The request only names a message and the lease of its claim. The message itself comes from the
 * database, so that bytes come out as they went in, and nobody without the lease can make the
 * application do anything.
 */
export function createHandler(prefix: string, handler: QueueHandler, parts: HandlerParts): (request: Request) => Promise<Response> {
  return async (request) => {
    try {
      const store = await parts.store();
      const message = await take(request, prefix, store, parts.dispatcher);
      if (message === undefined) return answer(400, { error: `the headers ${MESSAGE_HEADER} and ${LEASE_HEADER} are missing` });
      if (message === 'forged') return answer(401, { error: 'the delivery is not genuine, or its lease has expired' });
      if (message === 'nothing') return answer(200, { ok: true });
      if (!message.queue.startsWith(prefix)) {
        await store.putOff(message, 1, 0);
        return answer(400, { error: `queue ${message.queue} does not begin with ${prefix}` });
      }
      return await respond(await deliver(store, parts.leases, message, handler), request, parts);
    } catch (error) {
      parts.warn('a delivery of a message of the World could not be recorded', error);
      return answer(503, { error: 'the database of the World does not answer' });
    }
  };
}

async function respond(outcome: Outcome, request: Request, { dispatcher, warn }: HandlerParts): Promise<Response> {
  if (outcome.kind === 'done') return answer(200, { ok: true });
  if (outcome.next) await dispatcher.announce(outcome.next, outcome.seconds);
  if (outcome.kind === 'later') return answer(200, { timeoutSeconds: outcome.seconds });
  warn('a delivery of a message of the World failed', outcome.error);
  // The next delivery is arranged. A repetition by QStash would only add to it.
  return answer(isPolled(request) ? 500 : 200, { error: 'the delivery failed' });
}

function isPolled(request: Request): boolean {
  return request.headers.has(MESSAGE_HEADER) && request.headers.has(LEASE_HEADER);
}

async function take(
  request: Request,
  prefix: string,
  store: MessageStore,
  dispatcher: Dispatcher,
): Promise<TakenMessage | 'forged' | 'nothing' | undefined> {
  if (!isPolled(request)) return dispatcher.take?.(request, prefix);
  const id = request.headers.get(MESSAGE_HEADER)!;
  const lease = request.headers.get(LEASE_HEADER)!;
  const claimed = takeClaim(id, lease);
  if (claimed === 'used') return 'forged';
  return claimed ?? (await store.take(id, lease, LEASE_SECONDS)) ?? 'forged';
}

function answer(status: number, body: object): Response {
  return new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json' } });
}
