import { createConnection, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/**
 * The server's message that a statement has ended outside a transaction: its changes are committed.
 */
const READY_AND_IDLE = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);

interface Cut {
  readonly marker: Buffer;
  left: number;
  /** Place of the cut: before the server gets the statement, or after it has answered. */
  readonly at: 'request' | 'answer' | 'committed answer';
  readonly done: () => void;
}

/** A statement at which the network falls silent. */
interface Trap {
  readonly marker: Buffer;
  readonly sprung: () => void;
}

interface Link {
  readonly client: Socket;
  readonly server: Socket;
  /** True once data of the connection has been dropped: later data would make no sense. */
  isMute: boolean;
}

/** A TCP proxy in front of the database that can do to a connection what networks do. */
export class FaultProxy {
  private readonly links = new Set<Link>();
  private mode: 'pass' | 'refuse' | 'silent' = 'pass';
  private cuts: Cut[] = [];
  private trap: Trap | undefined;
  private delayMs = 0;
  /** Number of connections that clients have made or tried to make. */
  attempts = 0;

  private constructor(
    private readonly listener: Server,
    private target: URL,
  ) {}

  /** A proxy in front of the server of `url`. */
  static async start(url: string): Promise<FaultProxy> {
    const listener = createServer();
    const proxy = new FaultProxy(listener, new URL(url));
    listener.on('connection', (client) => proxy.accept(client));
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  /** The URL of the same database through the proxy. */
  get url(): string {
    const url = new URL(this.target);
    url.hostname = '127.0.0.1';
    url.port = String((this.listener.address() as AddressInfo).port);
    url.searchParams.delete('host');
    return url.href;
  }

  /** Number of open connections. */
  get connections(): number {
    return this.links.size;
  }

  /** Cuts every connection, and refuses new ones until `restore`. */
  refuse(): void {
    this.mode = 'refuse';
    this.cutAll();
  }

  /**
   * Keeps connections open and lets no data through them any more. Connections made after `restore`
   * work.
   */
  silence(): void {
    this.mode = 'silent';
    for (const link of this.links) link.isMute = true;
  }

  /**
   * Falls silent as soon as a client sends a message that contains `marker`; the server does not
   * receive that message. Resolves then.
   */
  silenceAt(marker: string): Promise<void> {
    return new Promise((sprung) => (this.trap = { marker: Buffer.from(marker), sprung }));
  }

  /** Delivers everything so many milliseconds later, in each direction. */
  delay(ms: number): void {
    this.delayMs = ms;
  }

  /** Lets new connections through, without a delay. Connections that fell silent stay silent. */
  restore(): void {
    this.mode = 'pass';
    this.trap = undefined;
    this.delayMs = 0;
  }

  /** New connections lead to the server of `url` from now on, as an address does that has moved. */
  pointTo(url: string): void {
    this.target = new URL(url);
  }

  /** Ends every connection at once, as a server that crashes does. */
  cutAll(): void {
    for (const { client, server } of this.links) {
      client.destroy();
      server.destroy();
    }
    this.links.clear();
  }

  /**
   * Lets the next `times` statements whose message contains `marker` (a statement's name, an id)
   * reach the server and commit there, then swallows their answer and cuts the connection. Resolves
   * when that has happened.
   */
  cutAfterCommit(marker: string, times = 1): Promise<void> {
    return new Promise((done) => this.cuts.push({ marker: Buffer.from(marker), left: times, at: 'committed answer', done }));
  }

  /**
   * Cuts the connection on which a client sends a message that contains `marker`, once: before the
   * server gets the message, or when the server answers. Calls `done` directly before the cut.
   */
  cutAt(marker: string, at: 'request' | 'answer', done: () => void = () => undefined): Promise<void> {
    return new Promise((resolve) =>
      this.cuts.push({
        marker: Buffer.from(marker),
        left: 1,
        at,
        done: () => {
          done();
          resolve();
        },
      }),
    );
  }

  async stop(): Promise<void> {
    this.refuse();
    await new Promise((resolve) => this.listener.close(resolve));
  }

  private accept(client: Socket): void {
    this.attempts++;
    if (this.mode === 'refuse') return void client.destroy();
    const socket = this.target.searchParams.get('host');
    const port = Number(this.target.port || 5432);
    const server = socket?.startsWith('/')
      ? createConnection(`${socket}/.s.PGSQL.${port}`)
      : createConnection(port, this.target.hostname.replaceAll(/^\[|\]$/g, ''));
    const link: Link = { client, server, isMute: this.mode === 'silent' };
    this.links.add(link);
    let swallowing: Cut | undefined;
    let answer = Buffer.alloc(0);
    const end = (): void => {
      this.links.delete(link);
      client.destroy();
      server.destroy();
    };
    client.on('error', end).on('close', end);
    // Of a mute link the client does not even hear that the server has ended it.
    const endOfServer = (): void => {
      if (!link.isMute) end();
    };
    server.on('error', endOfServer).on('close', endOfServer);
    client.setNoDelay(true);
    server.setNoDelay(true);
    client.on('data', (data: Buffer) => {
      if (this.trap && data.includes(this.trap.marker)) {
        this.silence();
        this.trap.sprung();
        this.trap = undefined;
      }
      if (link.isMute) return;
      swallowing ??= this.cuts.find((cut) => data.includes(cut.marker));
      if (swallowing?.at === 'request') {
        this.noteCut(swallowing);
        return end();
      }
      this.later(() => server.write(data));
    });
    server.on('data', (data: Buffer) => {
      if (link.isMute) return;
      if (!swallowing) return this.later(() => client.write(data));
      if (swallowing.at === 'answer') {
        this.noteCut(swallowing);
        return end();
      }
      answer = Buffer.concat([answer.subarray(-READY_AND_IDLE.length), data]);
      if (!answer.subarray(-READY_AND_IDLE.length).equals(READY_AND_IDLE)) return;
      end();
      this.noteCut(swallowing);
    });
  }

  /**
   * Timers of the same length run in the order in which they were set, so bytes keep their order
   * while the delay is the same.
   */
  private later(write: () => unknown): void {
    if (this.delayMs === 0) write();
    else setTimeout(write, this.delayMs);
  }

  private noteCut(cut: Cut): void {
    cut.left--;
    if (cut.left > 0) return;
    this.cuts = this.cuts.filter((each) => each !== cut);
    cut.done();
  }
}
