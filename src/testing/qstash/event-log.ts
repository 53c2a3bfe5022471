import { fieldsOf, matches, pageOf } from './filters.js';
import type { Message } from './message.js';

type EventState = 'CREATED' | 'ACTIVE' | 'RETRY' | 'ERROR' | 'DELIVERED' | 'FAILED' | 'CANCELED';

interface Entry {
  readonly time: number;
  readonly state: EventState;
  readonly message: Message;
  readonly nextDeliveryTime?: number | undefined;
  readonly error?: string | undefined;
}

/** Log of all messages' events, in order. The SDK's `client.logs()` reads this log. */
export class EventLog {
  private entries: Entry[] = [];

  add(entry: Entry): void {
    this.entries.push(entry);
  }

  /**
   * Returns a page of events, with the newest event first.
   *
   * @throws ApiError when the query is invalid
   */
  list(query: URLSearchParams): object {
    const found = this.entries.filter(({ state, message, time }) => matches(query, { ...fieldsOf(message), state }, time)).reverse();
    const { items, cursor } = pageOf(found, query);
    return { cursor, events: items.map(viewOf) };
  }

  clear(): void {
    this.entries = [];
  }
}

function viewOf({ message, ...entry }: Entry): object {
  const { messageId, url, method, queue, scheduleId, flow, labels } = message;
  return { ...entry, messageId, url, method, queueName: queue, scheduleId, flowControlKey: flow?.key, label: labels[0], labels };
}
