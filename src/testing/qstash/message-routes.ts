import { fieldsOf, matches } from './filters.js';
import { messageView } from './message.js';
import type { EmulatorServices } from './emulator-services.js';
import type { DeadLetter } from './dead-letters.js';
import { type ApiResponse, type Route, route } from './router.js';

/** Returns the API's routes for pending messages, dead letters and the log. */
export function messageRoutes(services: EmulatorServices): Route[] {
  const { store, deadLetters, events, driver } = services;
  const cancel = (messages: Parameters<EmulatorServices['cancel']>[0]): ApiResponse => {
    const cancelled = services.cancel(messages);
    driver.changed();
    return { status: 200, body: { cancelled } };
  };
  return [
    ...route('GET', '/v2/messages/:', ({ params }) => ({ status: 200, body: messageView(store.get(params[0]!)) })),
    ...route('DELETE', '/v2/messages/:', ({ params }) => cancel([store.get(params[0]!)])),
    ...route('DELETE', '/v2/messages', ({ query }) =>
      cancel(store.pending().filter((message) => matches(query, fieldsOf(message), message.createdAt))),
    ),
    ...route('GET', '/v2/events', ({ query }) => ({ status: 200, body: events.list(query) })),
    ...route('GET', '/v2/logs', ({ query }) => ({ status: 200, body: events.list(query) })),
    ...route('GET', '/v2/dlq', ({ query }) => ({ status: 200, body: deadLetters.list(query) })),
    ...route('DELETE', '/v2/dlq', ({ query }) => {
      const { found, cursor } = deadLetters.removeMatching(query);
      return { status: 200, body: { deleted: found.length, cursor } };
    }),
    ...route('POST', '/v2/dlq/retry', ({ query }) => {
      const { found, cursor } = deadLetters.removeMatching(query);
      return { status: 201, body: { cursor, responses: retry(services, found) } };
    }),
    ...route('POST', '/v2/dlq/retry/:', ({ params }) => ({ status: 201, body: retry(services, [deadLetters.remove(params[0]!)])[0] })),
    ...route('GET', '/v2/dlq/:', ({ params }) => ({ status: 200, body: deadLetters.view(params[0]!) })),
    ...route('DELETE', '/v2/dlq/:', ({ params }) => {
      deadLetters.remove(params[0]!);
      return { status: 200, body: { deleted: 1 } };
    }),
  ];
}

/**
 * Publishes the message of each dead letter again, without its delay. Omits the deduplication id,
 * because QStash would otherwise drop the message as a duplicate.
 */
function retry({ publishHandler, driver }: EmulatorServices, found: readonly DeadLetter[]): object[] {
  const receipts = found.map(({ message }) =>
    publishHandler.accept({ ...message, delayMs: 0, notBefore: undefined, deduplicationId: undefined }, message.callerIp),
  );
  driver.changed();
  return receipts;
}
