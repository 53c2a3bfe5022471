import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import pg from 'pg';

import { startEmbeddedPostgres } from '../../src/embedded/index.js';
import { serverUser } from '../../src/embedded/server-user.js';

/** True when this machine can create certificates. */
export const hasOpenSsl: boolean = spawnSync('openssl', ['version']).status === 0;

/**
 * A PostgreSQL server that accepts connections with TLS and without, under the name `localhost`
 * alone.
 */
export interface TlsServer {
  readonly url: string;
  /** The certificate that signed the server's own, and the file that holds it. */
  readonly ca: string;
  readonly caFile: string;
  stop(): Promise<void>;
}

/** Starts a server with a certificate that no system knows. */
export async function startTlsServer(): Promise<TlsServer> {
  const folder = mkdtempSync(join(tmpdir(), 'durable-tls-'));
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  openssl(
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-days',
    '2',
    '-subj',
    '/CN=durable test CA',
    '-keyout',
    'ca.key',
    '-out',
    'ca.crt',
  );
  openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=localhost', '-keyout', 'server.key', '-out', 'server.csr');
  writeFileSync(join(folder, 'names'), 'subjectAltName=DNS:localhost\n');
  openssl(
    ...['x509', '-req', '-in', 'server.csr', '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2'].concat([
      '-extfile',
      'names',
      '-out',
      'server.crt',
    ]),
  );
  const user = await serverUser();
  chmodSync(folder, 0o755);
  chmodSync(join(folder, 'server.key'), 0o600);
  if (user) for (const file of ['server.key', 'server.crt']) chownSync(join(folder, file), user.uid, user.gid);

  const server = await startEmbeddedPostgres({ fast: true });
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  await client.query(`ALTER SYSTEM SET ssl_cert_file = '${join(folder, 'server.crt')}'`);
  await client.query(`ALTER SYSTEM SET ssl_key_file = '${join(folder, 'server.key')}'`);
  await client.query('ALTER SYSTEM SET ssl = on');
  await client.query('SELECT pg_reload_conf()');
  await client.end();
  const url = new URL(server.url);
  url.hostname = 'localhost';
  return {
    url: url.href,
    ca: readFileSync(join(folder, 'ca.crt'), 'utf8'),
    caFile: join(folder, 'ca.crt'),
    async stop() {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
