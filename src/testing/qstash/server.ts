import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ApiError, notFound } from './api-error.js';
import { controlRoutes } from './control-routes.js';
import { messageRoutes } from './message-routes.js';
import type { EmulatorServices } from './emulator-services.js';
import { publishRoutes } from './publish-routes.js';
import type { ApiResponse, Route } from './router.js';
import { findRoute } from './router.js';
import { scheduleRoutes } from './schedule-routes.js';

/**
 * HTTP server of the emulator: checks the token, finds the route for a request, and answers in
 * JSON.
 */
export class ApiServer {
  private readonly server: Server;
  private readonly routes: readonly Route[];

  constructor(
    private readonly services: EmulatorServices,
    private readonly token: string,
  ) {
    this.routes = [publishRoutes, messageRoutes, scheduleRoutes, controlRoutes].flatMap((routesOf) => routesOf(services));
    this.server = createServer((request, response) => void this.serve(request, response));
  }

  /**
   * Starts the server.
   *
   * @returns the port that the server listens on
   */
  async listen(port: number): Promise<number> {
    this.server.listen(port, '127.0.0.1');
    await once(this.server, 'listening');
    return (this.server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    if (!this.server.listening) return;
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  }

  /** Answers one request. Never rejects. */
  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const answer = this.answer(request, Buffer.concat(chunks));
      reply(response, answer.status, answer.body);
    } catch (error) {
      if (response.headersSent || response.destroyed) return;
      if (error instanceof ApiError) reply(response, error.status, { error: error.message }, error.headers);
      else reply(response, 500, { error: error instanceof Error ? error.message : String(error) });
    }
  }

  private answer(request: IncomingMessage, body: Buffer): ApiResponse {
    const { method = 'GET', url: target = '/', socket } = request;
    if (request.headers.authorization !== `Bearer ${this.token}`) throw new ApiError(401, 'unauthorized: invalid token');
    this.services.quota.request(this.services.clock.now());
    const found = findRoute(this.routes, method, target);
    if (!found) throw notFound(`${method} ${target}`);
    const headers: Record<string, string> = {};
    for (const [name, values] of Object.entries(request.headersDistinct)) headers[name] = values!.join(', ');
    const query = new URLSearchParams(target.split('?').slice(1).join('?'));
    return found.route.handle({ params: found.params, query, headers, body, callerIp: socket.remoteAddress ?? '127.0.0.1' });
  }
}

function reply(response: ServerResponse, status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): void {
  const text = body === undefined ? '' : JSON.stringify(body);
  response.writeHead(status, { ...headers, 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}
