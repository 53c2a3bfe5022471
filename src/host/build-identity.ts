import { createHash, type Hash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, extname, join, relative, resolve, sep } from 'node:path';

/** Suffixes that Node tries when a path names no file, as in `node dist/main`. */
const SUFFIXES = ['', '.js', '.cjs', '.mjs', '.ts', '.cts', '.mts', '.tsx', '/index.js', '/index.cjs', '/index.mjs', '/index.ts'];
const CODE = new Set(['.js', '.cjs', '.mjs', '.jsx', '.ts', '.cts', '.mts', '.tsx']);
/**
 * Maximum number of files and of folders that are read. Further ones are ignored, so that the boot
 * stays fast.
 */
const MAX_FILES = 5_000;
const MAX_FOLDERS = 1_000;
/**
 * Maximum number of bytes of file contents that are hashed in total. Further files are identified
 * by their size and modification time.
 */
const MAX_CONTENT_BYTES = 8 * 1024 * 1024;

/** Properties of the process that show which file is the first file of the application. */
export interface ProcessInfo {
  readonly argv: readonly string[];
  readonly execPath: string;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
}

const identities = new Map<string, string>();

/**
 * Identifies the build of the application by a digest of package.json and of the code files beside
 * the entry file. Replicas of one image have the same identity, and a restart keeps it. A change in
 * any helper file changes it.
 *
 * @returns undefined when the process does not show which file is the application's first, for
 *   example under a test runner
 */
export function buildIdentity(processInfo: ProcessInfo): string | undefined {
  const entry = findEntry(processInfo);
  if (entry === undefined) return undefined;
  let identity = identities.get(entry);
  if (identity === undefined) {
    identity = digestBuild(entry);
    identities.set(entry, identity);
  }
  return identity;
}

/**
 * Finds the application's first file. PM2 starts a file of its own, and passes the path of the
 * application's file in the environment.
 */
function findEntry({ argv, execPath, env, cwd }: ProcessInfo): string | undefined {
  for (const named of [env['pm_exec_path'], argv[1]]) {
    const file = named === undefined || named === '' ? undefined : resolveFile(resolve(cwd, named));
    // A file in node_modules is a tool that runs the application, such as Jest.
    if (file !== undefined && !file.split(sep).includes('node_modules')) return file;
  }
  // Any executable other than Node, Bun and Deno contains the application itself.
  return /^(node|bun|deno)/i.test(basename(execPath)) ? undefined : resolveFile(execPath);
}

function resolveFile(path: string): string | undefined {
  for (const suffix of SUFFIXES) {
    try {
      if (statSync(path + suffix).isFile()) return realpathSync(path + suffix);
    } catch {
      // No file has this suffix; try the next one.
    }
  }
  return undefined;
}

function digestBuild(entry: string): string {
  const hash = createHash('sha256');
  if (!CODE.has(extname(entry))) {
    noteFile(hash, entry, '', 0);
    return hash.digest('hex');
  }
  const { home, root } = homeOf(entry);
  if (home !== undefined) noteFile(hash, join(home, 'package.json'), 'package.json', MAX_CONTENT_BYTES);
  let left = MAX_CONTENT_BYTES;
  for (const file of codeFiles(root)) left -= noteFile(hash, file, relative(root, file), left);
  return hash.digest('hex');
}

/**
 * Finds the folder of the entry file's package (`home`), and the top folder of its code (`root`).
 * For `dist/src/main.js` the code is in `dist`, because helper files may be in folders beside
 * `src`.
 */
function homeOf(entry: string): { home: string | undefined; root: string } {
  for (let folder = dirname(entry); ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json'))) {
      const [first = '', ...rest] = relative(folder, entry).split(sep);
      return { home: folder, root: rest.length === 0 ? folder : join(folder, first) };
    }
    if (dirname(folder) === folder) return { home: undefined, root: dirname(entry) };
  }
}

/**
 * Lists the code files in a folder and its subfolders, in an order that does not depend on the file
 * system.
 */
function codeFiles(root: string): string[] {
  const files: string[] = [];
  const folders = [root];
  for (let index = 0; index < folders.length && index < MAX_FOLDERS && files.length < MAX_FILES; index++) {
    const folder = folders[index]!;
    for (const entry of entriesOf(folder)) {
      if (entry.name.startsWith('.') || entry.name === 'node_modules') continue;
      if (entry.isDirectory()) folders.push(join(folder, entry.name));
      else if (CODE.has(extname(entry.name)) && !/\.d\.[cm]?ts$/.test(entry.name)) files.push(join(folder, entry.name));
    }
  }
  return files.slice(0, MAX_FILES);
}

function entriesOf(folder: string): ReturnType<typeof readSorted> {
  try {
    return readSorted(folder);
  } catch {
    return [];
  }
}

function readSorted(folder: string) {
  return readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * Adds a file to the digest.
 *
 * @returns number of bytes of content that were read; 0 when only the size and time were added
 */
function noteFile(hash: Hash, file: string, name: string, maxBytes: number): number {
  hash.update(name).update('\0');
  try {
    const { size, mtimeMs } = statSync(file);
    hash.update(String(size)).update('\0');
    if (size <= maxBytes) {
      hash.update(readFileSync(file));
      return size;
    }
    hash.update(String(Math.floor(mtimeMs)));
  } catch {
    // Skip the file: a file that cannot be read cannot be executed either.
  }
  return 0;
}
