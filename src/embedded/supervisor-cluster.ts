/* istanbul ignore file -- runs in another process, from its source text */
import type { ChildProcess } from 'node:child_process';
import type { Cluster, SupervisorContext } from './supervisor-types.js';

/**
 * Creates, starts, takes over and stops the server of one directory.
 *
 * The supervisor's process runs this function from its source text. The function therefore uses
 * nothing outside itself except `context`. Its inner functions are methods or have no name, because
 * bundlers that keep names wrap other functions in a helper, which the supervisor lacks.
 */
export function clusterOf(context: SupervisorContext): Cluster {
  const { fs, path, net, crypto, childProcess, process, settings } = context;
  const data = path.join(settings.directory, 'cluster');
  const pidFile = path.join(data, 'postmaster.pid');
  const secretFile = path.join(settings.directory, 'server.json');
  const logFile = path.join(settings.directory, 'server.log');
  const identity = settings.user === null ? {} : { uid: settings.user.uid, gid: settings.user.gid };
  const secret = { port: 0, password: '' };
  const MAX_LOG_BYTES = 16 * 1024 * 1024;
  const MAX_SHOWN_CHARS = 4000;
  const RETRYABLE = /could not create any TCP\/IP sockets|pre-existing shared memory/;

  const self = {
    child: undefined as ChildProcess | undefined,
    aborted: false,
    watch: undefined as NodeJS.Timeout | undefined,
    onCrash(): void {
      // The supervisor replaces this method with its own.
    },

    sleep(milliseconds: number): Promise<void> {
      return new Promise((resolve) => setTimeout(resolve, milliseconds));
    },

    /**
     * Writes a file that only the server's user may read. Removes an existing file first: it may be
     * a link by which another user redirects the write.
     */
    writePrivate(file: string, text: string): void {
      fs.rmSync(file, { force: true });
      const written = fs.openSync(file, 'wx', 0o600);
      try {
        fs.writeSync(written, text);
        if (settings.user) fs.fchownSync(written, settings.user.uid, settings.user.gid);
      } finally {
        fs.closeSync(written);
      }
    },

    saveSecret(): void {
      self.writePrivate(`${secretFile}.new`, JSON.stringify(secret));
      fs.renameSync(`${secretFile}.new`, secretFile);
    },

    /** Shortens the server's output for error messages, and replaces the password in it. */
    forDisplay(output: string): string {
      const text = secret.password === '' ? output : output.split(secret.password).join('***');
      return text.trim().slice(-MAX_SHOWN_CHARS);
    },

    binary(name: string): string {
      return path.join(settings.native, 'bin', process.platform === 'win32' ? `${name}.exe` : name);
    },

    async initialise(): Promise<void> {
      const draft = path.join(settings.directory, `cluster.new-${settings.lock}`);
      const passwordFile = path.join(settings.directory, `password.new-${settings.lock}`);
      for (const entry of fs.readdirSync(settings.directory)) {
        if (/^(cluster|password)\.new-/.test(entry)) {
          fs.rmSync(path.join(settings.directory, entry), { recursive: true, force: true, maxRetries: 5 });
        }
      }
      secret.password = crypto.randomBytes(24).toString('hex');
      self.saveSecret();
      fs.mkdirSync(draft, { mode: 0o700 });
      if (settings.user) fs.lchownSync(draft, settings.user.uid, settings.user.gid);
      self.writePrivate(passwordFile, `${secret.password}\n`);
      try {
        const result = await self.run('initdb', [
          `--pgdata=${draft}`,
          '--username=postgres',
          `--pwfile=${passwordFile}`,
          '--auth=scram-sha-256',
          '--encoding=UTF8',
          '--locale=C',
          '--locale-provider=builtin',
          '--builtin-locale=C.UTF-8',
          '--no-instructions',
          ...(settings.temporary ? ['--no-sync'] : []),
        ]);
        if (result !== '') throw new Error(`initdb failed: ${result}`);
      } finally {
        fs.rmSync(passwordFile, { force: true });
      }
      // Rename the draft now that it is complete. The next supervisor removes a draft left behind.
      fs.renameSync(draft, data);
    },

    /** Runs a short-lived binary. Resolves to an empty string, or to the output of a failure. */
    run(name: string, args: readonly string[]): Promise<string> {
      return new Promise((resolve) => {
        const child = childProcess.spawn(self.binary(name), [...args], {
          ...identity,
          stdio: ['ignore', 'pipe', 'pipe'],
          windowsHide: true,
        });
        self.child = child;
        let output = '';
        for (const stream of [child.stdout, child.stderr]) {
          stream.on('data', (chunk: Buffer) => {
            output = (output + chunk.toString()).slice(-MAX_SHOWN_CHARS);
          });
        }
        child.on('error', (error) => resolve(error.message));
        child.on('close', (code, signal) => {
          resolve(code === 0 ? '' : `${self.forDisplay(output)} (exit code ${String(code ?? signal)})`);
        });
      });
    },

    /** Returns true for this directory's server, false for another process with the same id. */
    isServer(pid: number): boolean {
      try {
        if (process.platform === 'linux') {
          return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(data);
        }
        const windows = process.platform === 'win32';
        const listing = windows
          ? childProcess.spawnSync('tasklist', ['/NH', '/FI', `PID eq ${pid}`], { windowsHide: true })
          : childProcess.spawnSync('ps', ['-ww', '-o', 'command=', '-p', String(pid)]);
        return listing.stdout.toString().includes(windows ? 'postgres.exe' : data);
      } catch {
        return false;
      }
    },

    /** Reads the server's pid file; undefined when the file is missing or no server runs. */
    readPidFile(): { pid: number; port: number; ready: boolean } | undefined {
      try {
        const lines = fs.readFileSync(pidFile, 'utf8').split('\n');
        const pid = Number(lines[0]);
        if (!Number.isInteger(pid) || pid <= 1 || !self.isServer(pid)) return undefined;
        return { pid, port: Number(lines[3]), ready: (lines[7] ?? '').trim() === 'ready' };
      } catch {
        return undefined;
      }
    },

    /**
     * Takes over a server whose supervisor was killed. The server still serves its applications,
     * and needs only a new supervisor. Returns false when no such server is running.
     */
    async adopt(): Promise<boolean> {
      const deadline = Date.now() + 10_000;
      for (let found = self.readPidFile(); found; found = self.readPidFile()) {
        if (found.ready) {
          secret.port = found.port;
          self.child = undefined;
          return true;
        }
        if (Date.now() > deadline || self.aborted) await self.stop();
        await self.sleep(25);
      }
      // The pid file does not belong to a running server of this directory: the file is stale and
      // would keep our server from starting.
      fs.rmSync(pidFile, { force: true });
      return false;
    },

    freePort(): Promise<number> {
      return new Promise((resolve, reject) => {
        const probe = net.createServer();
        probe.on('error', reject);
        probe.listen(0, '127.0.0.1', () => {
          const address = probe.address();
          probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
        });
      });
    },

    /** Tries once to start the server. Resolves to an empty string, or to the server's output. */
    async launch(): Promise<string> {
      // Windows has no O_NOFOLLOW; an undefined flag changes nothing there.
      const { O_APPEND, O_CREAT, O_RDWR, O_NOFOLLOW } = fs.constants;
      const log = fs.openSync(logFile, O_APPEND | O_CREAT | O_RDWR | O_NOFOLLOW, 0o600);
      try {
        if (settings.user) fs.fchownSync(log, settings.user.uid, settings.user.gid);
        const logStart = fs.fstatSync(log).size;
        const flags = settings.serverSettings.flatMap((setting) => ['-c', setting]);
        const child = childProcess.spawn(self.binary('postgres'), ['-D', data, '-p', String(secret.port), ...flags], {
          ...identity,
          stdio: ['ignore', log, log],
          windowsHide: true,
        });
        self.child = child;
        let ended = '';
        child.on('error', (error) => {
          ended = error.message;
        });
        child.on('exit', (code, signal) => {
          ended = `exit code ${String(code ?? signal)}`;
        });
        for (;;) {
          const found = self.readPidFile();
          if (found?.ready && found.pid === child.pid) return '';
          if (ended !== '') {
            const output = Buffer.alloc(64 * 1024);
            const length = fs.readSync(log, output, 0, output.length, logStart);
            return `${self.forDisplay(output.toString('utf8', 0, length))} (${ended})`;
          }
          if (self.aborted) child.kill('SIGKILL');
          await self.sleep(10);
        }
      } finally {
        fs.closeSync(log);
      }
    },

    async start(resume: boolean): Promise<string> {
      const exists = fs.existsSync(data);
      if (!exists && resume) throw new Error('its data are gone');
      if (exists) Object.assign(secret, JSON.parse(fs.readFileSync(secretFile, 'utf8')));
      else await self.initialise();

      if (!(await self.adopt())) {
        let failure = '';
        for (let attempt = 0; attempt < 8; attempt++) {
          if (self.aborted) throw new Error('aborted');
          if (!resume && (attempt > 0 || secret.port === 0)) secret.port = await self.freePort();
          failure = await self.launch();
          if (!RETRYABLE.test(failure)) break;
          await self.sleep(250);
        }
        if (failure !== '') throw new Error(`the server did not start: ${failure}`);
      }
      self.saveSecret();
      self.watchServer();
      return `postgresql://postgres:${secret.password}@127.0.0.1:${secret.port}/postgres`;
    },

    watchServer(): void {
      let checks = 0;
      clearInterval(self.watch);
      self.watch = setInterval(() => {
        const child = self.child;
        if (child ? child.exitCode !== null || child.signalCode !== null : self.readPidFile() === undefined) {
          clearInterval(self.watch);
          self.onCrash();
        } else if (checks++ % 150 === 0 && (fs.statSync(logFile, { throwIfNoEntry: false })?.size ?? 0) > MAX_LOG_BYTES) {
          self.emptyLog();
        }
      }, 200);
    },

    /** Empties the log. The server appends to the file, so it continues at the new end. */
    emptyLog(): void {
      // Windows has no O_NOFOLLOW; an undefined flag changes nothing there.
      const log = fs.openSync(logFile, fs.constants.O_WRONLY | fs.constants.O_NOFOLLOW);
      try {
        fs.ftruncateSync(log);
      } finally {
        fs.closeSync(log);
      }
    },

    abort(): void {
      self.aborted = true;
      clearInterval(self.watch);
      if (self.child?.spawnfile === self.binary('initdb')) self.child.kill('SIGKILL');
    },

    /**
     * Stops the server. With temporary data, skips the clean shutdown, because the data will not be
     * read again.
     */
    async stop(): Promise<void> {
      clearInterval(self.watch);
      const escalation: readonly (readonly [NodeJS.Signals, string, number])[] = [
        ...(settings.temporary ? [] : ([['SIGINT', 'fast', 15_000]] as const)),
        ['SIGQUIT', 'immediate', 6000],
        ['SIGKILL', 'immediate', 2000],
      ];
      for (const [signal, mode, timeoutMs] of escalation) {
        const child = self.child;
        // If the directory was removed, the pid file is gone, but a supervisor that started the
        // server itself still knows the process id.
        const found = self.readPidFile() ?? (child?.pid !== undefined && self.isServer(child.pid) ? { pid: child.pid } : undefined);
        if (!found) return;
        if (process.platform === 'win32') await self.run('pg_ctl', ['stop', '-D', data, '-m', mode, '-w', '-t', String(timeoutMs / 1000)]);
        else process.kill(found.pid, signal);
        const deadline = Date.now() + timeoutMs;
        // Check the process itself, because the server removes the pid file before its process
        // ends.
        while (Date.now() < deadline && self.isServer(found.pid)) await self.sleep(10);
      }
    },
  };
  return self;
}
