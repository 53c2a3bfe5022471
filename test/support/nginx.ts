import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, it } from '@jest/globals';

import { freePort } from './free-port.js';
import { hasOpenSsl } from './tls-server.js';
import { waitFor } from './wait.js';

const BINARIES = ['nginx', '/usr/sbin/nginx'];

const binary: string | undefined = BINARIES.find((each) => spawnSync(each, ['-v']).status === 0);

const isInstalled = binary !== undefined && hasOpenSsl;

function unlessMissing<B>(run: (title: string, body: B) => void, skip: (title: string, body: B) => void) {
  return (title: string, body: B): void => {
    if (!isInstalled) console.log(`skipped, because nginx or openssl is not installed: ${title}`);
    (isInstalled ? run : skip)(title, body);
  };
}

/** The `it` of a test that needs nginx. Skips the test where nginx is not installed. */
export const itWithNginx = unlessMissing<() => Promise<void>>(it, it.skip);

/** The `describe` of tests that need nginx. Skips them where nginx is not installed. */
export const describeWithNginx = unlessMissing<() => void>(describe, describe.skip);

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A real nginx in front of an application, with its defaults for proxies, and compression. */
export class Nginx {
  private constructor(
    private readonly folder: string,
    private readonly child: ChildProcess,
    /** URL over HTTP/1.1. */
    readonly url: string,
    /** URL over HTTP/2, with a certificate that no browser knows. */
    readonly secureUrl: string,
  ) {}

  /** @param target port of the application */
  static async start(target: number): Promise<Nginx> {
    const folder = mkdtempSync(join(tmpdir(), 'durable-nginx-'));
    const subject = ['-subj', '/CN=localhost', '-keyout', 'key.pem', '-out', 'cert.pem'];
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject], { cwd: folder, stdio: 'pipe' });
    const [port, securePort] = [await freePort(), await freePort()];
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`);
    writeFileSync(
      join(folder, 'nginx.conf'),
      `daemon off;
${process.getuid?.() === 0 ? 'user root;' : ''}
worker_processes 1;
pid ${folder}/pid;
error_log ${folder}/error.log;
events {}
http {
  ${temporary.join('\n  ')}
  access_log off;
  gzip on;
  gzip_types *;
  gzip_proxied any;
  gzip_min_length 0;
  server {
    listen 127.0.0.1:${port};
    listen 127.0.0.1:${securePort} ssl http2;
    ssl_certificate cert.pem;
    ssl_certificate_key key.pem;
    location / {
      proxy_pass http://127.0.0.1:${target};
      proxy_read_timeout 20s;
    }
    location /shop/admin/ {
      proxy_pass http://127.0.0.1:${target}/;
    }
  }
}
`,
    );
    const child = spawn(binary!, ['-p', folder, '-e', join(folder, 'error.log'), '-c', join(folder, 'nginx.conf')], { stdio: 'ignore' });
    running.add(child);
    child.once('close', () => running.delete(child));
    const nginx = new Nginx(folder, child, `http://127.0.0.1:${port}`, `https://127.0.0.1:${securePort}`);
    await waitFor(() => fetch(nginx.url), { message: 'nginx to take connections' });
    return nginx;
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.child.once('close', resolve));
    // SIGKILL would leave the worker process behind.
    this.child.kill('SIGTERM');
    await closed;
    rmSync(this.folder, { recursive: true, force: true });
  }
}
