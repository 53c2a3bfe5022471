import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { endWithParent, tellParent } from './child.js';

/**
 * Forwards data after a delay, in order. Node's timers count whole milliseconds, so the proxy
 * checks without a pause while data waits.
 */
class Delay {
  private readonly queue: { due: number; send: () => void }[] = [];

  constructor(private readonly ms: number) {}

  add(send: () => void): void {
    if (this.ms === 0) return send();
    this.queue.push({ due: performance.now() + this.ms, send });
    if (this.queue.length === 1) this.look();
  }

  private look(): void {
    while (this.queue.length > 0 && this.queue[0]!.due <= performance.now()) this.queue.shift()!.send();
    if (this.queue.length > 0) setImmediate(() => this.look());
  }
}

/** Forwards to the server; each way takes so long. */
function proxy(target: URL, msEachWay: number): Promise<Server> {
  const pipe = (from: Socket, to: Socket): void => {
    const delay = new Delay(msEachWay);
    from.on('data', (chunk) => delay.add(() => void (to.writable && to.write(chunk))));
    from.on('end', () => delay.add(() => to.end()));
    from.on('error', () => to.destroy());
    from.on('close', () => delay.add(() => to.destroy()));
  };
  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect({ host: target.hostname, port: Number(target.port || 5432), noDelay: true });
    pipe(client, upstream);
    pipe(upstream, client);
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

endWithParent();
const [, , url, ...delays] = process.argv;
const servers = await Promise.all(delays.map((delay) => proxy(new URL(url!), Number(delay) / 2)));
tellParent(servers.map((server) => (server.address() as AddressInfo).port));
