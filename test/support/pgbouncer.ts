import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import pg from 'pg';

import { serverUser } from '../../src/embedded/server-user.js';
import { freePort } from './free-port.js';
import { waitFor } from './wait.js';

const BINARIES = ['pgbouncer', '/usr/sbin/pgbouncer'];

/** The first line of `pgbouncer --version`; undefined where it is not installed. */
export const pgBouncerVersion: string | undefined = BINARIES.map((binary) => spawnSync(binary, ['--version'], { encoding: 'utf8' }))
  .find(({ status }) => status === 0)
  ?.stdout.split('\n')[0];

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/**
 * A real PgBouncer in transaction mode in front of the server of a test database. Every database of
 * that server is reachable through it.
 */
export class PgBouncer {
  private child: ChildProcess | undefined;

  private constructor(
    private readonly folder: string,
    private readonly port: number,
    private readonly target: URL,
    private readonly user: { uid: number; gid: number } | null,
  ) {}

  /** @param settings lines for the section `[pgbouncer]` of its configuration */
  static async start(url: string, settings: readonly string[] = []): Promise<PgBouncer> {
    const target = new URL(url);
    const user = await serverUser();
    const folder = mkdtempSync(join(tmpdir(), 'durable-pgbouncer-'));
    const bouncer = new PgBouncer(folder, await freePort(), target, user);
    const password = decodeURIComponent(target.password);
    writeFileSync(
      join(folder, 'pgbouncer.ini'),
      `[databases]
* = host=${target.hostname} port=${target.port || 5432} user=${decodeURIComponent(target.username)} password=${password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${bouncer.port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 500
default_pool_size = 10
${settings.join('\n')}
`,
    );
    chmodSync(folder, 0o755);
    if (user) chownSync(folder, user.uid, user.gid);
    await bouncer.restart();
    return bouncer;
  }

  /** The URL of the same database through the pooler. */
  urlOf(url: string = this.target.href): string {
    const through = new URL(url);
    through.hostname = '127.0.0.1';
    through.port = String(this.port);
    return through.href;
  }

  /** Starts it, again too; resolves when it takes connections. */
  async restart(): Promise<void> {
    const binary = BINARIES.find((each) => spawnSync(each, ['--version']).status === 0)!;
    const child = spawn(binary, [join(this.folder, 'pgbouncer.ini')], { stdio: 'ignore', ...this.user });
    child.once('close', () => running.delete(child));
    running.add(child);
    this.child = child;
    await waitFor(
      async () => {
        const client = new pg.Client({ connectionString: this.urlOf() });
        client.on('error', () => undefined);
        await client.connect();
        await client.end();
        return true;
      },
      { message: 'PgBouncer to take connections' },
    );
  }

  /** Ends it at once, and every connection through it, as a crash does. */
  async kill(): Promise<void> {
    const { child } = this;
    this.child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const closed = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGKILL');
    await closed;
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
