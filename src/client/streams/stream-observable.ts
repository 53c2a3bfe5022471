import { Observable } from 'rxjs';

import type { StreamMessage } from './stream-message.js';
import { toMessage } from './stream-messages.js';
import type { StreamEvent } from './stream-event.js';

/** Reads a stream for each subscriber, until the subscriber leaves. */
export function messagesOf(open: () => AsyncIterableIterator<StreamEvent>): Observable<StreamMessage> {
  return new Observable((subscriber) => {
    const reader = open();
    const read = async (): Promise<void> => {
      for await (const event of reader) {
        if (subscriber.closed) return;
        subscriber.next(toMessage(event));
      }
      subscriber.complete();
    };
    read().catch((error: unknown) => subscriber.error(error));
    return () => void reader.return?.();
  });
}
