/* istanbul ignore file -- runs in another process, from its source text */
import type { Socket } from 'node:net';
import type { Cluster, LockContent, SupervisorContext, SupervisorMessage } from './supervisor-types.js';

/**
 * Supervises the server of one directory. The supervisor is a process in a session of its own, so
 * neither Ctrl-C nor kill -9 of an application ends it. Each application keeps a connection to the
 * supervisor. The operating system closes that connection however the application ends. When the
 * last connection is closed, the supervisor stops the server.
 *
 * The supervisor's process runs this function from its source text. The doc of `clusterOf` says
 * which code therefore cannot be used here.
 */
export function supervise(context: SupervisorContext, cluster: Cluster): void {
  const { fs, path, net, crypto, process, settings } = context;
  const LOST_THE_LOCK = 3;
  /**
   * Milliseconds to wait for the first connection. The process that started the supervisor holds
   * the supervisor's stdin open and connects soon.
   */
  const START_TIMEOUT_MS = 60_000;
  /**
   * Milliseconds to wait for a connection after the process that started the supervisor has ended.
   * Applications that have lost their former supervisor may still connect.
   */
  const GRACE_MS = 1000;
  const token = crypto.randomBytes(24).toString('hex');
  const holders = new Set<Socket>();
  /**
   * Proof that the application must send, for each connection that has received the supervisor's
   * proof.
   */
  const expectedProofs = new WeakMap<Socket, string>();

  const self = {
    port: 0,
    closing: false,
    crashes: 0,
    started: undefined as Promise<string> | undefined,
    grace: undefined as NodeJS.Timeout | undefined,

    listen(): void {
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
      process.on('uncaughtException', () => void self.close());
      process.on('unhandledRejection', () => void self.close());
      const server = net.createServer((socket) => self.accept(socket));
      server.listen(0, '127.0.0.1', () => {
        const address = server.address();
        self.port = typeof address === 'object' && address !== null ? address.port : 0;
        if (!self.takeLock(self.port)) process.exit(LOST_THE_LOCK);
        self.wait(START_TIMEOUT_MS);
        process.stdin.on('error', () => undefined);
        process.stdin.on('close', () => {
          if (self.started === undefined) self.wait(GRACE_MS);
        });
        try {
          fs.writeSync(1, 'listening\n');
        } catch {
          // Ignore the error: the process that started the supervisor has ended.
        }
      });
    },

    /**
     * Closes the supervisor if no application connects within this time. Otherwise, the supervisor
     * would never end when the application that started it has died.
     */
    wait(milliseconds: number): void {
      clearTimeout(self.grace);
      self.grace = setTimeout(() => void self.close(), milliseconds);
    },

    lockFile(number: number): string {
      return path.join(settings.directory, `supervisor.${number}`);
    },

    /**
     * Creates the supervisor's lock file. Returns false when another supervisor was faster. The
     * lock file with the highest number is valid. A new supervisor takes the number after its dead
     * predecessor's, and only one process can create that file. Numbers never decrease. A slow
     * process that creates a file with a lower number finds the higher number, and removes its own
     * file.
     */
    takeLock(port: number): boolean {
      const content: LockContent = { port, token, pid: process.pid };
      const own = self.lockFile(settings.lock);
      try {
        fs.writeFileSync(own, JSON.stringify(content), { flag: 'wx', mode: 0o600 });
        if (settings.user) fs.lchownSync(own, settings.user.uid, settings.user.gid);
      } catch {
        return false;
      }
      const numbers = fs
        .readdirSync(settings.directory)
        .flatMap((entry) => /^supervisor\.(\d+)$/.exec(entry)?.[1] ?? [])
        .map(Number);
      const isFirst = numbers.every((number) => number <= settings.lock);
      for (const number of isFirst ? numbers.filter((other) => other < settings.lock) : [settings.lock]) {
        fs.rmSync(self.lockFile(number), { force: true });
      }
      return isFirst;
    },

    send(socket: Socket, message: SupervisorMessage): void {
      socket.write(`${JSON.stringify(message)}\n`);
    },

    accept(socket: Socket): void {
      let text = '';
      socket.setEncoding('utf8');
      socket.on('error', () => undefined);
      socket.on('close', () => {
        if (holders.delete(socket) && holders.size === 0) void self.close();
      });
      socket.on('data', (chunk: string) => {
        text += chunk;
        if (text.length > 1000) socket.destroy();
        const lines = text.split('\n');
        text = lines.pop() ?? '';
        for (const line of lines) self.receive(socket, line);
      });
    },

    proof(role: string, nonces: string): string {
      return crypto.createHmac('sha256', token).update(`${role} ${self.port} ${nonces}`).digest('hex');
    },

    /**
     * Proves to the application that this supervisor knows the token. The application's next line
     * must be its own proof.
     */
    greet(socket: Socket, peerNonce: string): void {
      const ownNonce = crypto.randomBytes(24).toString('hex');
      const nonces = `${peerNonce} ${ownNonce}`;
      expectedProofs.set(socket, self.proof('application', nonces));
      self.send(socket, { state: 'hello', nonce: ownNonce, proof: self.proof('supervisor', nonces) });
    },

    receive(socket: Socket, line: string): void {
      const expected = expectedProofs.get(socket);
      if (holders.has(socket)) {
        if (line !== 'bye') return;
        holders.delete(socket);
        // The last application's connection stays open until this process ends, so that the
        // application sees when everything has been removed.
        if (holders.size > 0) socket.end();
        else void self.close();
      } else if (expected === undefined) {
        self.greet(socket, line);
      } else if (line.length !== expected.length || !crypto.timingSafeEqual(Buffer.from(line), Buffer.from(expected))) {
        socket.destroy();
      } else if (self.closing) {
        self.send(socket, { state: 'closing' });
      } else {
        holders.add(socket);
        clearTimeout(self.grace);
        self.send(socket, { state: 'starting' });
        self.started ??= cluster.start(settings.resume);
        self.started.then(
          (url) => self.send(socket, { state: 'ready', url }),
          (error: unknown) => self.fail(error),
        );
      }
    },

    /**
     * Starts the server again after a crash. Uses the same address, because the applications
     * already know it.
     */
    async recover(): Promise<void> {
      if (self.closing) return;
      try {
        if (++self.crashes > 5) throw new Error('the server crashed again and again');
        self.started = cluster.start(true);
        await self.started;
      } catch (error) {
        self.fail(error);
      }
    },

    fail(error: unknown): void {
      if (self.closing) return;
      for (const socket of holders) self.send(socket, { state: 'failed', message: String((error as Error).message) });
      void self.close();
    },

    async close(): Promise<void> {
      if (self.closing) return;
      self.closing = true;
      try {
        cluster.abort();
        await self.started?.catch(() => undefined);
        await cluster.stop();
        if (settings.temporary) fs.rmSync(settings.directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
      } finally {
        process.exit(0);
      }
    },
  };

  cluster.onCrash = () => void self.recover();
  self.listen();
}
