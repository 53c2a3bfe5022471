import { lstatSync, readlinkSync, statSync, type Stats } from 'node:fs';
import { dirname, parse, resolve, sep } from 'node:path';

const GROUP_WRITE = 0o020;
const OTHERS_WRITE = 0o002;
const STICKY = 0o1000;
const MAX_LINKS = 40;

/**
 * Returns the reason why another user of the machine could put files into a directory; undefined
 * when no other user can. Reads owners and modes of the directory, of every directory above it, and
 * of every symbolic link on the path. Does not read access lists.
 */
export function explainDistrust(directory: string): string | undefined {
  const self = process.getuid?.();
  if (self === undefined) return undefined;
  // The owner of "/" controls the machine and is trusted too: in a user namespace, root may have
  // another number than 0.
  const own = new Set([self, 0, lstatSync(parse(resolve(directory)).root).uid]);
  // For the directories above it, trust the owner of the working directory too, because the
  // server's binaries come from the working directory. Its owner may be another user, for example
  // in a project mounted into a container.
  const ancestors = new Set([...own, statSync(process.cwd()).uid]);

  const last = resolve(directory);
  for (const { path, stats, isLast } of listPath(last)) {
    const what = path === last ? 'it' : path;
    if (!(isLast ? own : ancestors).has(stats.uid)) return `${what} belongs to another user (uid ${stats.uid}), who could put files there`;
    if (stats.isDirectory() && isWritableByOthers(stats) && (isLast || (stats.mode & STICKY) === 0)) {
      return `other users can write to ${what === 'it' ? 'it' : what}. Remove that right with: chmod go-w ${path}`;
    }
  }
  return undefined;
}

/**
 * Returns true when other users may write to the file. A group with the same number as the owner
 * counts as the owner: Debian and Fedora create such a group for each user.
 */
function isWritableByOthers({ mode, uid, gid }: Stats): boolean {
  return (mode & OTHERS_WRITE) !== 0 || ((mode & GROUP_WRITE) !== 0 && uid !== gid);
}

interface PathComponent {
  readonly path: string;
  readonly stats: Stats;
  /** True for the directory itself, which is the end of the path. */
  readonly isLast: boolean;
}

/**
 * Lists every directory and symbolic link on the path to a directory, as far as the path exists.
 */
function listPath(directory: string): PathComponent[] {
  const { root } = parse(directory);
  const components: PathComponent[] = [{ path: root, stats: lstatSync(root), isLast: directory === root }];
  let rest = directory.slice(root.length).split(sep);
  let path = root;
  let links = 0;
  while (rest.length > 0) {
    const next = resolve(path, rest.shift()!);
    const stats = lstatSync(next, { throwIfNoEntry: false });
    if (!stats) break;
    if (stats.isSymbolicLink()) {
      if (++links > MAX_LINKS) throw new Error(`too many symbolic links on the way to ${directory}`);
      components.push({ path: next, stats, isLast: false });
      const target = resolve(dirname(next), readlinkSync(next));
      rest = [...target.slice(root.length).split(sep), ...rest];
      path = root;
    } else {
      components.push({ path: next, stats, isLast: rest.every((part) => part === '') });
      path = next;
    }
  }
  return components;
}
