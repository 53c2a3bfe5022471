import { factsOf, matches } from './filters.js';
import { messageView } from './message.js';
import type { EmulatorServices } from './emulator-services.js';
import type { DeadLetter } from './dead-letters.js';
import { type ApiResponse, type Route, route } from './router.js';

/** Returns the routes for pending messages, dead letters and the log. */
export function messageRoutes(office: EmulatorServices): Route[] {
  const { store, deadLetters, events, driver } = office;
  const cancel = (messages: Parameters<EmulatorServices['cancel']>[0]): ApiResponse => {
    const cancelled = office.cancel(messages);
    driver.changed();
    return { status: 200, body: { cancelled } };
  };
  return [
    ...route('GET', '/v2/messages/:', ({ params }) => ({ status: 200, body: messageView(store.get(params[0]!)) })),
    ...route('DELETE', '/v2/messages/:', ({ params }) => cancel([store.get(params[0]!)])),
    ...route('DELETE', '/v2/messages', ({ query }) =>
      cancel(store.pending().filter((message) => matches(query, factsOf(message), message.createdAt))),
    ),
    ...route('GET', '/v2/events', ({ query }) => ({ status: 200, body: events.list(query) })),
    ...route('GET', '/v2/logs', ({ query }) => ({ status: 200, body: events.list(query) })),
    ...route('GET', '/v2/dlq', ({ query }) => ({ status: 200, body: deadLetters.list(query) })),
    ...route('DELETE', '/v2/dlq', ({ query }) => {
      const { letters, cursor } = deadLetters.takeMatching(query);
      return { status: 200, body: { deleted: letters.length, cursor } };
    }),
    ...route('POST', '/v2/dlq/retry', ({ query }) => {
      const { letters, cursor } = deadLetters.takeMatching(query);
      return { status: 201, body: { cursor, responses: retry(office, letters) } };
    }),
    ...route('POST', '/v2/dlq/retry/:', ({ params }) => ({ status: 201, body: retry(office, [deadLetters.take(params[0]!)])[0] })),
    ...route('GET', '/v2/dlq/:', ({ params }) => ({ status: 200, body: deadLetters.view(params[0]!) })),
    ...route('DELETE', '/v2/dlq/:', ({ params }) => {
      deadLetters.take(params[0]!);
      return { status: 200, body: { deleted: 1 } };
    }),
  ];
}

/**
 * Publishes each dead letter again, without delay, and without its deduplication id, which would
 * drop it.
 */
function retry({ intake, driver }: EmulatorServices, letters: readonly DeadLetter[]): object[] {
  const receipts = letters.map(({ message }) =>
    intake.accept({ ...message, delay: 0, notBefore: undefined, deduplicationId: undefined }, message.callerIp),
  );
  driver.changed();
  return receipts;
}
