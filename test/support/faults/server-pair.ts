import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import pg from 'pg';

import { postgresBinaries } from '../../../src/embedded/binaries.js';
import { temporaryRoot } from '../../../src/embedded/directory.js';
import { serverUser } from '../../../src/embedded/server-user.js';
import { freePort } from '../free-port.js';
import { waitFor } from '../wait.js';
import { FaultProxy } from './proxy.js';

const run = promisify(execFile);

/** Settings without safety of the disk: the tests kill servers, never the machine. */
const SETTINGS = [
  'listen_addresses=127.0.0.1',
  'unix_socket_directories=',
  'dynamic_shared_memory_type=mmap',
  'fsync=off',
  'wal_level=replica',
  'wal_retrieve_retry_interval=100ms',
  'logging_collector=off',
];

/**
 * A shell between the test and the server ends the server as soon as the test's end of the pipe
 * closes: a server must not outlive a test run that is killed. The server ends without a
 * checkpoint, as in a crash, and unlike with kill -9 of its first process, all of it at once.
 */
const WATCH = `data=$1; shift; "$@" & server=$!; cat >/dev/null; kill -QUIT $server; wait $server; rm -rf "$data"; rmdir "$(dirname "$data")" 2>/dev/null`;

export interface Home {
  /** Holds the two clusters. */
  readonly directory: string;
  readonly native: string;
  /** Whom PostgreSQL runs as, where we are root. */
  readonly identity: { readonly uid: number; readonly gid: number } | undefined;
  readonly password: string;
}

/** A server whose end nobody mends. */
export class Server {
  private log = '';
  private readonly exited: Promise<unknown>;

  private constructor(
    private readonly child: ChildProcess,
    readonly url: string,
  ) {
    this.exited = new Promise((resolve) => child.once('exit', resolve));
    child.stderr!.on('data', (data: Buffer) => (this.log = (this.log + data.toString()).slice(-4_000)));
  }

  /** Resolves when it takes connections. */
  static async start({ native, identity, password, directory }: Home, cluster: string, settings: readonly string[]): Promise<Server> {
    const port = await freePort();
    const flags = [...SETTINGS, ...settings].flatMap((setting) => ['-c', setting]);
    const data = join(directory, cluster);
    const command = [join(native, 'bin', 'postgres'), '-D', data, '-p', String(port), ...flags];
    const child = spawn('sh', ['-c', WATCH, 'sh', data, ...command], { ...identity, stdio: ['pipe', 'ignore', 'pipe'] });
    const server = new Server(child, `postgresql://postgres:${password}@127.0.0.1:${port}/postgres`);
    await waitFor(() => server.query('SELECT true AS up'), { message: () => `the server of "${cluster}": ${server.log}` });
    return server;
  }

  async query<Row = Record<string, any>>(sql: string): Promise<Row[]> {
    const client = new pg.Client({ connectionString: this.url });
    client.on('error', () => undefined);
    try {
      await client.connect();
      return (await client.query(sql)).rows as Row[];
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  /** Ends it as a crash does. Its data go with it. */
  async crash(): Promise<void> {
    this.child.stdin!.end();
    await this.exited;
  }
}

/**
 * Two real servers of one cluster for failovers: a primary, and a standby that follows it by
 * streaming replication. Needs only initdb and postgres: the standby begins as a copy of a cluster
 * that has never been started.
 */
export class ServerPair {
  private constructor(
    private readonly home: Home,
    readonly primary: Server,
    readonly standby: Server,
    /** The proxy between the two servers. */
    readonly link: FaultProxy,
  ) {}

  /** @param replication whether a commit is acknowledged only after the standby has it */
  static async start(replication: 'synchronous' | 'asynchronous'): Promise<ServerPair> {
    const home = await makeHome();
    const primary = await Server.start(home, 'first', replication === 'synchronous' ? ['synchronous_standby_names=*'] : []);
    const link = await FaultProxy.start(primary.url);
    const { port } = new URL(link.url);
    const standby = await Server.start(home, 'second', [
      `primary_conninfo=host=127.0.0.1 port=${port} user=postgres password=${home.password}`,
    ]);
    const states = ['sync', 'quorum', 'async'].slice(replication === 'synchronous' ? 0 : 2);
    await waitFor(async () => {
      const [row] = await primary.query(`SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'`);
      return row && states.includes(row['sync_state'] as string);
    });
    return new ServerPair(home, primary, standby, link);
  }

  /** Resolves when the standby has all that has been committed until now. */
  async caughtUp(): Promise<void> {
    const [{ lsn }] = (await this.primary.query('SELECT pg_current_wal_lsn()::text AS lsn')) as [{ lsn: string }];
    await waitFor(async () => (await this.standby.query(`SELECT pg_last_wal_replay_lsn() >= '${lsn}' AS has`))[0]!['has']);
  }

  /** The primary crashes, and the standby takes its place. */
  async failOver(): Promise<void> {
    await this.primary.crash();
    await this.standby.query('SELECT pg_promote(true, 20)');
  }

  async stop(): Promise<void> {
    await Promise.all([this.primary.crash(), this.standby.crash(), this.link.stop()]);
    await rm(this.home.directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** @param binaries PostgreSQL to use instead of the one from npm: a folder with `bin` in it */
export async function makeHome(binaries?: string): Promise<Home> {
  const user = await serverUser();
  const identity = user ? { uid: user.uid, gid: user.gid } : undefined;
  const directory = await mkdtemp(join(temporaryRoot(user), 'nestjs-durable-pair-'));
  const password = randomBytes(12).toString('hex');
  const passwordFile = join(directory, 'password');
  const own = async (path: string): Promise<void> => (user ? chown(path, user.uid, user.gid) : undefined);
  await own(directory);
  await writeFile(passwordFile, password, { mode: 0o600 });
  await own(passwordFile);
  const native = binaries ?? (await postgresBinaries(user));
  const first = join(directory, 'first');
  const second = join(directory, 'second');
  const access = ['--username=postgres', `--pwfile=${passwordFile}`, '--auth=scram-sha-256'];
  await run(join(native, 'bin', 'initdb'), [`--pgdata=${first}`, ...access, '--encoding=UTF8', '--locale=C', '--no-sync'], { ...identity });
  await rm(passwordFile);
  await run('cp', ['-R', '-p', first, second], { ...identity });
  await writeFile(join(second, 'standby.signal'), '', { mode: 0o600 });
  await own(join(second, 'standby.signal'));
  return { directory, native, identity, password };
}
