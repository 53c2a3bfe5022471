import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { killSpawned, spawnCompiled, type SpawnedProcess } from '../support/processes.js';
import { waitFor } from '../support/wait.js';

export interface App {
  readonly process: SpawnedProcess;
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * A temporary folder that holds the temporary folders of one test's applications, and their
 * processes.
 */
export class Sandbox {
  readonly path = mkdtempSync(join(tmpdir(), 'durable-embedded-spec-'));
  readonly dataDir = join(this.path, 'kept');
  readonly temporary = join(this.path, 'tmp');

  constructor() {
    // The server may run as another user.
    chmodSync(this.path, 0o755);
    execFileSync('mkdir', ['-m', '755', this.temporary]);
  }

  spawn(dataDir = '', mode = '', env: Record<string, string> = {}): SpawnedProcess {
    return spawnCompiled('test/embedded/processes/app.ts', { args: [dataDir, mode], env: { TMPDIR: this.temporary, ...env } });
  }

  async start(dataDir?: string, mode?: string, env?: Record<string, string>): Promise<App> {
    const process = this.spawn(dataDir, mode, env);
    const line = await process.waitForLine(/^(ready|failed) /);
    if (!line.startsWith('ready ')) throw new Error(line);
    const stop = async (): Promise<void> => {
      process.child.stdin!.write('stop\n');
      await process.waitForLine(/^stopped/);
    };
    return { process, url: line.slice('ready '.length), stop };
  }

  /** Lists the existing temporary database folders. */
  temporaryDirectories(): string[] {
    return readdirSync(this.temporary).filter((entry) => entry.startsWith('nestjs-durable-postgres-'));
  }

  /** Lists the living supervisors that lock files name. */
  supervisors(): number[] {
    const folders = [this.dataDir, ...this.temporaryDirectories().map((entry) => join(this.temporary, entry))];
    return folders
      .filter((folder) => existsSync(folder))
      .flatMap((folder) => readdirSync(folder).map((entry) => join(folder, entry)))
      .filter((file) => /supervisor\.\d+$/.test(file))
      .flatMap((file) => {
        try {
          return [(JSON.parse(readFileSync(file, 'utf8')) as { pid: number }).pid];
        } catch {
          return [];
        }
      })
      .filter((pid) => isAlive(pid));
  }

  /** Lists the database servers that run on a folder of this sandbox. */
  servers(): number[] {
    return processes()
      .filter(({ command }) => command.includes('postgres') && command.includes(`-D ${this.path}`))
      .map(({ pid }) => pid);
  }

  /** Waits until no process of this sandbox is left. */
  async becomesQuiet(): Promise<void> {
    await waitFor(() => this.servers().length === 0 && this.supervisors().length === 0, { message: 'all processes to end' });
  }

  async close(): Promise<void> {
    await killSpawned();
    await this.becomesQuiet();
    rmSync(this.path, { recursive: true, force: true });
  }
}

export function isAlive(pid: number): boolean {
  return processes().some((process) => process.pid === pid);
}

/** Lists all processes except zombies. */
function processes(): { pid: number; command: string }[] {
  const listing = execFileSync('ps', ['-eww', '-o', 'pid=,stat=,args='], { encoding: 'utf8', maxBuffer: 1e8 });
  return listing.split('\n').flatMap((line) => {
    const [, pid, state, command] = /^\s*(\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? [];
    return pid === undefined || state!.startsWith('Z') ? [] : [{ pid: Number(pid), command: command! }];
  });
}

/** Lists the processes that a server has started. */
export function childrenOf(parent: number): number[] {
  const listing = execFileSync('ps', ['-e', '-o', 'pid=,ppid='], { encoding: 'utf8' });
  return listing.split('\n').flatMap((line) => {
    const [pid, ppid] = line.trim().split(/\s+/).map(Number);
    return ppid === parent ? [pid!] : [];
  });
}

export async function query(url: string, sql: string): Promise<any[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}
