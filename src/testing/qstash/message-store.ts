import { notFound } from './api-error.js';
import { hasEnded, type Message } from './message.js';

/** Milliseconds for which a deduplication id is remembered. */
const DEDUPLICATION_WINDOW_MS = 10 * 60_000;

/** All messages, and the deduplication ids of the last ten minutes. */
export class MessageStore {
  private readonly byId = new Map<string, Message>();
  private readonly ids = new Map<string, { readonly messageId: string; readonly until: number }>();

  add(message: Message, now: number): void {
    const { messageId, deduplicationId } = message;
    this.byId.set(messageId, message);
    if (deduplicationId !== undefined) this.ids.set(deduplicationId, { messageId, until: now + DEDUPLICATION_WINDOW_MS });
  }

  /**
   * Returns the id of the message that was published with this deduplication id in the last ten
   * minutes; undefined when there is no such message.
   */
  duplicateOf(deduplicationId: string | undefined, now: number): string | undefined {
    for (const [id, { until }] of this.ids) {
      if (until > now) break;
      this.ids.delete(id);
    }
    return deduplicationId === undefined ? undefined : this.ids.get(deduplicationId)?.messageId;
  }

  all(): Message[] {
    return [...this.byId.values()];
  }

  /** Returns the messages that are still to be delivered. */
  pending(): Message[] {
    return this.all().filter((message) => !hasEnded(message));
  }

  /**
   * Returns a message by its id, if it has not ended. As in QStash, an ended message cannot be
   * found.
   *
   * @throws ApiError when there is no such message
   */
  get(messageId: string): Message {
    const message = this.byId.get(messageId);
    if (!message || hasEnded(message)) throw notFound(`message ${messageId}`);
    return message;
  }

  clear(): void {
    this.byId.clear();
    this.ids.clear();
  }
}
