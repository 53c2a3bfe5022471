import { Observable } from 'rxjs';

import type { StreamMessage } from './stream-message.js';
import { toMessage } from './stream-messages.js';
import type { StreamEvent } from './stream-event.js';

/**
 * Reads a stream for each subscriber, until the subscriber leaves. An error after the first event
 * becomes an event with the id of the event before. Otherwise Nest would send the error with an id
 * of its own, and the browser would continue at that place.
 */
export function messagesOf(open: () => AsyncIterableIterator<StreamEvent>): Observable<StreamMessage> {
  return new Observable((subscriber) => {
    const reader = open();
    let last: StreamMessage | undefined;
    const read = async (): Promise<void> => {
      for await (const event of reader) {
        if (subscriber.closed) return;
        last = toMessage(event);
        subscriber.next(last);
      }
      subscriber.complete();
    };
    read().catch((error: unknown) => {
      if (!last) return subscriber.error(error);
      subscriber.next({ type: 'error', id: last.id, data: '{}' });
      subscriber.complete();
    });
    return () => void reader.return?.();
  });
}
