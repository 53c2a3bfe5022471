import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Step, Workflow } from 'nestjs-durable';

export const WAITS_PER_RUN = 3;

/** Connections to a server that answers late. A connection has one request at a time. */
export class LateServer {
  private readonly idle: Socket[] = [];
  private waiting = 0;
  /** Highest number of requests that were unanswered at a time. */
  mostAtOnce = 0;

  constructor(private readonly port: number) {}

  /** Sends a request and waits for the answer. */
  async request(): Promise<void> {
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.waiting);
    const socket = this.idle.pop() ?? (await this.open());
    const answer = once(socket, 'data');
    socket.write('.');
    await answer;
    this.idle.push(socket);
    this.waiting--;
  }

  /** Closes the connections, which have no request any more. */
  close(): void {
    for (const socket of this.idle) socket.destroy();
  }

  private async open(): Promise<Socket> {
    const socket = connect({ host: '127.0.0.1', port: this.port, noDelay: true });
    await once(socket, 'connect');
    return socket;
  }
}

let server: LateServer;

/** Sets the server that the bodies of this process wait for. */
export function waitFor(late: LateServer): void {
  server = late;
}

/** Three steps that wait for a socket, as a call of another service does. */
@Workflow({ name: 'three-waits' })
export class ThreeWaits {
  async run({ n }: { n: number }): Promise<number> {
    let sum = n;
    for (let step = 0; step < WAITS_PER_RUN; step++) sum += await this.ask(step);
    return sum;
  }

  @Step()
  async ask(n: number): Promise<number> {
    await server.request();
    return n;
  }
}
