// What is published, for the scripts that try it out. Needs a build: it packs what is there.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = new URL('..', import.meta.url).pathname;

/** A temporary directory that is removed when this process ends. Anybody may look in: PostgreSQL runs as another user when we are root. */
export function temporaryDirectory(name) {
  const directory = mkdtempSync(join(tmpdir(), `nestjs-durable-${name}-`));
  chmodSync(directory, 0o755);
  process.on('exit', () => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));
  return directory;
}

/** Packs the package; the tarball's path. */
export function pack(directory) {
  const options = ['--ignore-scripts', '--json', '--pack-destination', directory];
  const printed = execFileSync('npm', ['pack', ...options], { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const packed = JSON.parse(printed);
  const [{ filename }] = Array.isArray(packed) ? packed : Object.values(packed);
  return join(directory, filename);
}

/** The environment of a user's shell: nothing that this repository's npm or the tests have set. */
export function userEnvironment(more = {}) {
  const inherited = Object.entries(process.env).filter(
    ([name]) =>
      !/^(npm_(lifecycle|package|command|execpath|node_execpath)|INIT_CWD$|NODE_ENV$|NODE_OPTIONS$|DATABASE_URL$|DURABLE_|PORT$)/.test(
        name,
      ),
  );
  return { ...Object.fromEntries(inherited), ...more };
}
