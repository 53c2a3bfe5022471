import { execFile } from 'node:child_process';
import { lstatSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { ServerUser } from './supervisor-types.js';

const run = promisify(execFile);

/** The users to run as, when root asks; `nobody` exists nearly everywhere. */
const CANDIDATES = ['postgres', 'nobody'];
const OVERFLOW_ID = 65_534;

async function lookUp(name: string): Promise<ServerUser | undefined> {
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
 * PostgreSQL refuses to run as root. Then it runs as whoever owns the data of this directory already, else as an unprivileged user that the
 * system has; no user is created. Null: as ourselves.
 */
export async function serverUser(directory?: string): Promise<ServerUser | null> {
  if (!isRoot()) return null;
  const owner = directory === undefined ? undefined : lstatSync(resolve(directory, 'cluster'), { throwIfNoEntry: false });
  if (owner?.isDirectory() && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  for (const name of CANDIDATES) {
    const user = await lookUp(name);
    if (user) return user;
  }
  return { uid: OVERFLOW_ID, gid: OVERFLOW_ID };
}

/** May this user enter the directory? By its mode bits and those of all directories above; access lists are not read. */
export function canEnter(user: ServerUser | null, directory: string): boolean {
  if (!user) return true;
  for (let path = resolve(directory); ; path = dirname(path)) {
    const { mode, uid, gid } = statSync(path);
    const execute = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
    if ((mode & execute) === 0) return false;
    if (path === dirname(path)) return true;
  }
}
