import type { IncomingMessage } from 'node:http';

/**
 * Counts the deliveries that reach the application, because the service does not report their
 * number.
 */
export class DeliveryCounter {
  private readonly messages = new Set<string>();
  private requests = 0;

  /** Middleware for `app.use()`. */
  readonly middleware = (request: IncomingMessage, _response: unknown, next: () => void): void => {
    const id = request.headers['upstash-message-id'];
    if (typeof id === 'string') {
      this.messages.add(id);
      this.requests++;
    }
    next();
  };

  /** Number of different messages: a repeated or duplicated one counts once. */
  get delivered(): number {
    return this.messages.size;
  }

  get attempts(): number {
    return this.requests;
  }
}
