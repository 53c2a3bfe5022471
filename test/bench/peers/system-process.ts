import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const BOOT_MS = 120_000;
/** Characters of a process's output that an error quotes. */
const QUOTED = 1_500;

/** Task of `adapters/measure.mjs`. */
export interface SystemTask {
  readonly adapter: string;
  readonly url: string;
  readonly slots: number;
  readonly runs: number;
  /** Time after which the burst is cut and what is completed counts. */
  readonly limitMs: number;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly folder: string;
  readonly schemaFile: string | undefined;
}

export interface Burst {
  readonly completed: number;
  readonly seconds: number;
  readonly cpuMs: number;
}

/** Milliseconds of each single run. */
export interface SingleRuns {
  readonly toBody: readonly number[];
  /** Empty where a caller cannot wait for a result. */
  readonly toResult: readonly number[];
}

/** A process that has booted one system. */
export interface SystemProcess {
  /** The first process of the system's own server; undefined when it uses the common one. */
  readonly serverPid: number | undefined;
  burst(): Promise<Burst>;
  latency(): Promise<SingleRuns>;
  kill(): Promise<void>;
}

const alive = new Set<() => Promise<void>>();

/** Ends all processes that were started here, with the servers that they started. */
export async function killSystems(): Promise<void> {
  await Promise.all([...alive].map((kill) => kill()));
}

/** @throws Error with the end of the output, when the system does not boot */
export async function startSystem(node: string, task: SystemTask): Promise<SystemProcess> {
  const child = fork(join(task.folder, 'measure.mjs'), [JSON.stringify(task)], {
    execPath: node,
    execArgv: [],
    cwd: task.folder,
    env: { ...process.env, NODE_ENV: 'production', DATABASE_URL: task.url, NODE_OPTIONS: '' },
    // A group of its own, so that servers which the adapter starts end with it.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let output = '';
  const keep = (text: string): void => void (output = (output + text).slice(-QUOTED));
  for (const stream of [child.stdout!, child.stderr!]) stream.setEncoding('utf8').on('data', keep);
  const ended = once(child, 'exit');
  const kill = async (): Promise<void> => {
    try {
      process.kill(-child.pid!, 'SIGKILL');
    } catch {
      // The group is gone already.
    }
    await ended;
    alive.delete(kill);
  };
  alive.add(kill);

  const answer = async <T>(limitMs: number): Promise<T> => {
    const stop = new AbortController();
    const late = sleep(limitMs, undefined, { signal: stop.signal }).then(() => 'took too long');
    late.catch(() => undefined);
    const gone = ended.then(() => 'ended before it answered');
    const received = once(child, 'message').then(([message]) => message as T & { error?: string });
    const first = await Promise.race([received, gone, late]);
    stop.abort();
    if (typeof first === 'string') throw new Error(`the process ${first}: ${errorIn(output)}\n${output}`);
    if (first.error) throw new Error(first.error);
    return first;
  };
  const ask = <T>(stage: 'burst' | 'latency'): Promise<T> => {
    child.send(stage);
    return answer(task.limitMs + BOOT_MS);
  };
  try {
    const { serverPid } = await answer<{ serverPid: number | null }>(BOOT_MS);
    return { serverPid: serverPid ?? undefined, burst: () => ask('burst'), latency: () => ask('latency'), kill };
  } catch (error) {
    await kill();
    throw error;
  }
}

/** The line that names an error, for a summary of one line. */
function errorIn(output: string): string {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  return lines.find((line) => /^\w*error(?: \[\w+\])?: /i.test(line)) ?? lines.at(-1) ?? 'no output';
}
