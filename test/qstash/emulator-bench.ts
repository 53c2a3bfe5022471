import { createServer, type IncomingHttpHeaders, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Client, Receiver } from '@upstash/qstash';

import { QStashEmulator, type QStashEmulatorOptions } from '../../src/testing/index.js';

export interface Received {
  readonly path: string;
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly bytes: Buffer;
}

export interface Reply {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

/** Reaction of an application to a request: a status, a whole answer, or a torn connection. */
export type Behaviour = (request: Received) => number | Reply | 'hang up' | Promise<number | Reply | 'hang up'>;

/** An application that records the requests that it receives. */
export class Endpoint {
  readonly received: Received[] = [];
  /** Largest number of requests that were answered at the same time. */
  mostAtOnce = 0;
  behave: Behaviour = () => 200;
  private atOnce = 0;

  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  static async open(): Promise<Endpoint> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const endpoint = new Endpoint(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    server.on('request', (request, response) => void endpoint.serve(request, response));
    return endpoint;
  }

  get bodies(): string[] {
    return this.received.map(({ body }) => body);
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.atOnce);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const bytes = Buffer.concat(chunks);
    const received = { path: request.url!, method: request.method!, headers: request.headers, body: bytes.toString(), bytes };
    this.received.push(received);
    const answer = await this.behave(received);
    this.atOnce -= 1;
    if (answer === 'hang up') {
      response.destroy();
      return;
    }
    const { status = 200, headers = {}, body = '' } = typeof answer === 'number' ? { status: answer } : answer;
    response.writeHead(status, headers).end(body);
  }
}

/** An emulator, an application, and the SDK between them. */
export interface Bench {
  readonly qstash: QStashEmulator;
  readonly endpoint: Endpoint;
  readonly client: Client;
  readonly receiver: Receiver;
  /** Begin of each attempt, in whole seconds since `since`. */
  readonly secondsOfDeliveries: (since: Date) => number[];
  readonly close: () => Promise<void>;
}

export async function openBench(options: QStashEmulatorOptions = {}): Promise<Bench> {
  const qstash = await QStashEmulator.start({ clock: 'manual', ...options });
  const endpoint = await Endpoint.open();
  const { url, token, currentSigningKey, nextSigningKey } = qstash;
  return {
    qstash,
    endpoint,
    client: new Client({ baseUrl: url, token, retry: false, devMode: false }),
    receiver: new Receiver({ currentSigningKey, nextSigningKey, devMode: false }),
    secondsOfDeliveries: (since) => qstash.deliveries.map(({ startedAt }) => Math.round((startedAt.getTime() - since.getTime()) / 1_000)),
    close: async () => {
      await qstash.close();
      await endpoint.close();
    },
  };
}
