import type { IncomingMessage } from 'node:http';

/** Counts what QStash delivers, at the door of the application: the service does not tell how much it was. */
export class DeliveryCounter {
  private readonly messages = new Set<string>();
  private requests = 0;

  /** For `app.use()`. */
  readonly middleware = (request: IncomingMessage, _response: unknown, next: () => void): void => {
    const id = request.headers['upstash-message-id'];
    if (typeof id === 'string') {
      this.messages.add(id);
      this.requests++;
    }
    next();
  };

  /** Different ones: what is tried again, or comes twice, counts once. */
  get delivered(): number {
    return this.messages.size;
  }

  get attempts(): number {
    return this.requests;
  }
}
