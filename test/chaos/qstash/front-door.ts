import { createServer, request as requestFrom, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { waitFor } from '../../support/wait.js';

/** As long as a platform takes to start a process for a request that finds none. */
const START_MS = 20_000;

/**
 * One address for many processes, like a load balancer: forwards each request to a living process
 * under the name of that process.
 */
export class FrontDoor {
  private turn = 0;

  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  /** @param ports of the processes that listen now */
  static async open(ports: () => readonly number[]): Promise<FrontDoor> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const door = new FrontDoor(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    server.on('request', (request: IncomingMessage, response: ServerResponse) => void door.pass(request, response, ports));
    return door;
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.server.closeAllConnections();
    await closed;
  }

  private async pass(request: IncomingMessage, response: ServerResponse, ports: () => readonly number[]): Promise<void> {
    const isWanted = (): boolean => ports().length > 0 || response.destroyed;
    await waitFor(isWanted, { timeoutMs: START_MS }).catch(() => undefined);
    const living = ports();
    const port = living[this.turn++ % living.length];
    if (port === undefined) return void response.writeHead(502).end();
    const headers = { ...request.headers, host: `127.0.0.1:${port}` };
    const passed = requestFrom({ host: '127.0.0.1', port, path: request.url, method: request.method, headers, agent: false });
    const breakOff = (): void => void response.destroy();
    passed.on('response', (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      answer.on('error', breakOff).pipe(response);
    });
    passed.on('error', breakOff);
    response.on('close', () => passed.destroy());
    request.pipe(passed);
  }
}
