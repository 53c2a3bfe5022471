// Packs the package for the scripts that install it. Needs a build.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = new URL('..', import.meta.url).pathname;

/**
 * Creates a temporary directory that is removed when this process ends. Every user may read it: as
 * root, PostgreSQL runs as another user.
 */
export function temporaryDirectory(name) {
  const directory = mkdtempSync(join(tmpdir(), `nestjs-durable-${name}-`));
  chmodSync(directory, 0o755);
  process.on('exit', () => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));
  return directory;
}

/** Packs the package and returns the path of the tarball. */
export function pack(directory) {
  const options = ['--ignore-scripts', '--json', '--pack-destination', directory];
  const printed = execFileSync('npm', ['pack', ...options], { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const packed = JSON.parse(printed);
  const [{ filename }] = Array.isArray(packed) ? packed : Object.values(packed);
  return join(directory, filename);
}

/** The environment of a user's shell, without variables of this repository's npm and tests. */
export function userEnvironment(more = {}) {
  const inherited = Object.entries(process.env).filter(
    ([name]) =>
      !/^(npm_(lifecycle|package|command|execpath|node_execpath)|INIT_CWD$|NODE_ENV$|NODE_OPTIONS$|DATABASE_URL$|DURABLE_|PORT$)/.test(
        name,
      ),
  );
  return { ...Object.fromEntries(inherited), ...more };
}
