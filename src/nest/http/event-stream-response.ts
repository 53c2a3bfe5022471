import type { ServerResponse } from 'node:http';

import type { StreamMessage } from '../../client/streams/stream-message.js';
import { clearInterval, clearTimeout, setImmediate, setInterval, setTimeout } from '../../core/timers.js';

/**
 * Milliseconds between two comments on an idle connection. nginx closes a connection on which
 * nothing was sent for 60 seconds.
 */
const HEARTBEAT_MS = 15_000;
/** Milliseconds after which a browser connects again. */
const RETRY_MS = 1_000;
/**
 * Milliseconds that a client may take to accept what was sent. A client that takes longer is
 * disconnected, and continues with `Last-Event-ID` when it returns.
 */
const MAX_STALL_MS = 60_000;

const HEADERS: Readonly<Record<string, string>> = {
  'content-type': 'text/event-stream; charset=utf-8',
  // Middleware for compression leaves the response alone because of no-transform. Otherwise events
  // would wait in its buffer.
  'cache-control': 'private, no-cache, no-store, no-transform',
  // nginx sends each event at once because of this header.
  'x-accel-buffering': 'no',
};

/** A response of server-sent events. */
export class EventStreamResponse {
  private readonly heartbeat: NodeJS.Timeout;
  private isStalled = false;
  private isOver = false;

  constructor(
    private readonly response: ServerResponse,
    /** Called once, when the client has left or the response has ended. */
    private readonly left: () => void,
  ) {
    response.once('close', () => this.release());
    // A broken connection also emits `close`.
    response.on('error', () => undefined);
    response.statusCode = 200;
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    if (response.req.httpVersionMajor === 1) {
      response.setHeader('connection', 'keep-alive');
      response.req.socket.setKeepAlive(true);
      response.req.socket.setNoDelay(true);
      response.req.socket.setTimeout(0);
    }
    response.write(`retry: ${RETRY_MS}\n\n`);
    this.heartbeat = setInterval(() => {
      if (!this.isStalled) response.write(':\n\n');
    }, HEARTBEAT_MS).unref();
    // A client that left before the response began emits no further event.
    if (response.destroyed) setImmediate(() => this.release());
  }

  /** Sends an event. Resolves when the client can take the next one. */
  async send({ type, id, data }: Partial<StreamMessage>): Promise<void> {
    const lines = [...(type === undefined ? [] : [`event: ${type}`]), ...(id === undefined ? [] : [`id: ${id}`]), `data: ${data}`];
    if (this.isOver || this.response.write(`${lines.join('\n')}\n\n`)) return;
    this.isStalled = true;
    const timer = setTimeout(() => this.response.destroy(), MAX_STALL_MS).unref();
    await new Promise<void>((resolve) => {
      const ready = (): void => {
        this.response.off('drain', ready).off('close', ready);
        resolve();
      };
      this.response.once('drain', ready).once('close', ready);
    });
    clearTimeout(timer);
    this.isStalled = false;
  }

  /**
   * Ends the response and its connection. A connection that stays open would delay the close of the
   * application's HTTP server.
   */
  disconnect(): void {
    const { req } = this.response;
    if (!this.isOver) this.response.end(() => req.httpVersionMajor === 1 && req.socket.destroySoon());
    this.release();
  }

  end(): void {
    if (!this.isOver) this.response.end();
    this.release();
  }

  private release(): void {
    if (this.isOver) return;
    this.isOver = true;
    clearInterval(this.heartbeat);
    this.left();
  }
}
