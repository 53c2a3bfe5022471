import { execFile } from 'node:child_process';
import { lstatSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { ServerUser } from './supervisor-types.js';

const run = promisify(execFile);

/**
 * Names of users to run the server as when this process is root. The user `nobody` exists on almost
 * every system.
 */
const CANDIDATES = ['postgres', 'nobody'];
const OVERFLOW_ID = 65_534;

async function findUser(name: string): Promise<ServerUser | undefined> {
  try {
    const [uid, gid] = await Promise.all(['-u', '-g'].map(async (flag) => Number((await run('id', [flag, name])).stdout)));
    return uid && gid ? { uid, gid } : undefined;
  } catch {
    return undefined;
  }
}

export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/**
 * Returns the user that the server runs as when this process is root, because PostgreSQL refuses to
 * run as root. Prefers the owner of the directory's data, then an unprivileged user of the system.
 * Creates no user. Returns null when the server runs as the user of this process.
 */
export async function serverUser(directory?: string): Promise<ServerUser | null> {
  if (!isRoot()) return null;
  const owner = directory === undefined ? undefined : lstatSync(resolve(directory, 'cluster'), { throwIfNoEntry: false });
  if (owner?.isDirectory() && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  for (const name of CANDIDATES) {
    const user = await findUser(name);
    if (user) return user;
  }
  return { uid: OVERFLOW_ID, gid: OVERFLOW_ID };
}

/**
 * Returns true when the mode bits of the directory and of all its parents let the user enter. Does
 * not read access lists.
 */
export function canEnter(user: ServerUser | null, directory: string): boolean {
  if (!user) return true;
  for (let path = resolve(directory); ; path = dirname(path)) {
    const { mode, uid, gid } = statSync(path);
    const execute = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
    if ((mode & execute) === 0) return false;
    if (path === dirname(path)) return true;
  }
}
