import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { WorkflowConfigurationError } from '../core/errors/index.js';
import { canEnter, isRoot } from './server-user.js';
import { explainDistrust } from './trust.js';
import type { ServerUser } from './supervisor-types.js';

const PREFIX = 'nestjs-durable-postgres-';
/**
 * Milliseconds for which a directory without a supervisor is not removed, because its supervisor
 * may be about to start.
 */
const NEW_DIRECTORY_MS = 60_000;

/**
 * Returns the mode of the directories that this package creates. When this process is root, the
 * server runs as another user. That user may pass through such a directory, but may only list the
 * directory of its own cluster.
 */
const privateMode = (): number => (isRoot() ? 0o711 : 0o700);

/** Returns a directory for temporary files that the server's user can reach. */
export function temporaryRoot(user: ServerUser | null): string {
  const candidates = [tmpdir(), '/tmp', '/var/tmp'].filter((path) => existsSync(path));
  return realpathSync(candidates.find((path) => canEnter(user, path)) ?? tmpdir());
}

export function createTemporaryDirectory(user: ServerUser | null): string {
  const directory = mkdtempSync(join(temporaryRoot(user), PREFIX));
  chmodSync(directory, privateMode());
  return directory;
}

/** Lists temporary directories that this package created and may have left behind, except `own`. */
export function otherTemporaryDirectories(user: ServerUser | null, own: string | undefined): string[] {
  const root = temporaryRoot(user);
  return readdirSync(root)
    .filter((entry) => entry.startsWith(PREFIX))
    .map((entry) => join(root, entry))
    .filter((directory) => {
      if (directory === own) return false;
      const stats = lstatSync(directory, { throwIfNoEntry: false });
      // Skip a directory of another user of the machine, who may have created it to deceive this
      // process.
      if (!stats?.isDirectory() || (process.getuid && stats.uid !== process.getuid())) return false;
      const owned = readdirSync(directory).some((entry) => entry.startsWith('supervisor.'));
      return owned || Date.now() - stats.mtimeMs > NEW_DIRECTORY_MS;
    });
}

/**
 * Prepares the directory in which the application keeps its data, and creates it if needed. Refuses
 * a directory that holds other files, or that another user of the machine could have prepared. A
 * lock file in the directory names the port of the supervisor, and the supervisor returns the
 * server's URL. A user who can write the lock file could therefore choose the database that the
 * application uses.
 */
export function prepareKeptDirectory(dataDir: string, user: ServerUser | null): string {
  const target = resolve(dataDir);
  const fail = (why: string, cause?: unknown): never => {
    throw new WorkflowConfigurationError(`The embedded PostgreSQL cannot use ${target}: ${why}`, { cause });
  };
  try {
    const isEmpty = (): boolean => readdirSync(target).length === 0;
    if (!existsSync(target)) {
      const parentDistrust = explainDistrust(dirname(target));
      if (parentDistrust !== undefined) return fail(`in ${dirname(target)}, ${parentDistrust}`);
      mkdirSync(target, { recursive: true, mode: 0o755 });
      chmodSync(target, privateMode());
    } else if (isEmpty() && isOurs(target)) {
      // The directory was created by hand, with the shell's default mode, which may be too open.
      chmodSync(target, privateMode());
    }
    const why = explainDistrust(target);
    if (why !== undefined) return fail(why);
    const directory = realpathSync(target);
    const entries = readdirSync(directory).filter((entry) => !entry.startsWith('.'));
    const ours = entries.some((entry) => entry === 'cluster' || entry.startsWith('supervisor.'));
    if (entries.length > 0 && !ours) return fail('it holds other files. Name an empty directory, or one that does not exist');
    if (!canEnter(user, directory)) {
      return fail(`PostgreSQL does not run as root, and the user ${user!.uid} that it runs as may not enter that directory`);
    }
    accessSync(directory, constants.W_OK);
    return directory;
  } catch (error) {
    if (error instanceof WorkflowConfigurationError) throw error;
    return fail((error as Error).message, error);
  }
}

function isOurs(directory: string): boolean {
  return process.getuid === undefined || statSync(directory).uid === process.getuid();
}
