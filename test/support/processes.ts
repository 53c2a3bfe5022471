import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { PATIENCE } from './wait.js';

export interface SpawnOptions {
  /** Added to this process's environment; `undefined` takes a variable away. */
  env?: Record<string, string | undefined>;
  args?: readonly string[];
  cwd?: string;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface SpawnedProcess {
  readonly child: ChildProcess;
  readonly stdoutLines: readonly string[];
  readonly stderrLines: readonly string[];
  /** The first line on stdout that matches, printed already or yet to come. */
  waitForLine(pattern: RegExp, limitMs?: number): Promise<string>;
  kill(signal?: NodeJS.Signals): void;
  readonly exited: Promise<Exit>;
}

const running = new Set<ChildProcess>();

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Ends every process started here that still runs: for `afterEach`. */
export async function killSpawned(): Promise<void> {
  const ends = [...running].map((child) => new Promise((resolve) => child.once('close', resolve)));
  for (const child of running) child.kill('SIGKILL');
  await Promise.all(ends);
}

/**
 * Starts a TypeScript file of this repository, compiled by Jest's global setup, as a process of its
 * own.
 */
export function spawnCompiled(relativeTsPath: string, options: SpawnOptions = {}): SpawnedProcess {
  const folder = process.env.DURABLE_TEST_COMPILED_DIR;
  if (!folder) throw new Error('DURABLE_TEST_COMPILED_DIR is not set: run tests through Jest, whose global setup compiles them');
  return spawnFile(join(folder, relativeTsPath.replace(/\.ts$/, '.js')), options);
}

/** Starts a JavaScript file as a process of its own. */
export function spawnFile(file: string, options: SpawnOptions = {}): SpawnedProcess {
  const child = spawn(process.execPath, [file, ...(options.args ?? [])], {
    cwd: options.cwd,
    // Jest's own flags (--experimental-vm-modules, --inspect) are not for the worker.
    env: { ...process.env, NODE_OPTIONS: undefined, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  running.add(child);
  child.stdin.on('error', () => undefined);

  const stdoutLines: string[] = [];
  const stderrLines: string[] = [];
  const listeners = new Set<(line: string) => void>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    stdoutLines.push(line);
    for (const listener of listeners) listener(line);
  });
  createInterface({ input: child.stderr }).on('line', (line) => stderrLines.push(line));

  const exited = new Promise<Exit>((resolve, reject) => {
    child.once('error', reject);
    // 'close' and not 'exit': by then everything it printed is here.
    child.once('close', (code, signal) => {
      running.delete(child);
      resolve({ code, signal });
    });
  });
  exited.catch(() => running.delete(child));

  const waitForLine = (pattern: RegExp, limitMs = 45_000): Promise<string> => {
    const timeoutMs = limitMs * PATIENCE;
    const printed = stdoutLines.find((line) => pattern.test(line));
    if (printed !== undefined) return Promise.resolve(printed);
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer);
        listeners.delete(listener);
      };
      const giveUp = (reason: string): void => {
        settle();
        const output = [...stdoutLines, ...stderrLines].join('\n');
        reject(new Error(`${file} ${reason} before it printed ${String(pattern)}\n${output}`));
      };
      const listener = (line: string): void => {
        if (!pattern.test(line)) return;
        settle();
        resolve(line);
      };
      const timer = setTimeout(() => giveUp(`took ${timeoutMs} ms`), timeoutMs);
      listeners.add(listener);
      exited.then(
        () => giveUp('ended'),
        () => giveUp('did not start'),
      );
    });
  };

  return { child, stdoutLines, stderrLines, waitForLine, kill: (signal = 'SIGKILL') => void child.kill(signal), exited };
}
