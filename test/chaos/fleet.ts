import { fork, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';

import { FaultProxy } from '../support/faults/proxy.js';
import { waitFor } from '../support/wait.js';
import type { Workload } from './arguments.js';
import { FleetLog } from './fleet-log.js';
import {
  SETTINGS_VARIABLE,
  type ChaosWorkerSettings,
  type StartRequest,
  type WorkerMessage,
  type WorkerRequest,
} from './worker-messages.js';

/** Milliseconds that a process may take to boot while many others boot. */
const BOOT_MS = 180_000;
/** With a `shutdownTimeout` of 0.7 s and, at worst, a database that does not answer. */
const END_MS = 20_000;
const ANSWER_MS = 5_000;
const MEMORY_MS = 2_000;

/** One place in the fleet: a worker process, and the next one when that is gone. */
export class ChaosWorker {
  /** `busy`: a fault has it. */
  state: 'down' | 'booting' | 'up' | 'busy' = 'down';
  /** Heaps after garbage collections of the process of now, oldest first, in bytes. */
  heaps: number[] = [];
  private child: ChildProcess | undefined;
  private exited: Promise<unknown> = Promise.resolve();
  private readonly listeners = new Set<(message: WorkerMessage) => void>();
  private expected = false;
  private closing = false;

  constructor(
    readonly index: number,
    /** Lives as long as the chaos does, so that its memory can be looked at. */
    readonly isElder: boolean,
    readonly proxy: FaultProxy | undefined,
    private readonly file: string,
    private readonly settings: ChaosWorkerSettings,
    private readonly log: FleetLog,
  ) {}

  get pid(): number | undefined {
    return this.child?.pid;
  }

  /** Starts a process; resolves when it is up. One that fails while it boots is replaced. */
  async start(): Promise<void> {
    for (const until = Date.now() + BOOT_MS; ;) {
      this.launch();
      const ended = this.exited.then(() => 'ended' as const);
      const ready = await Promise.race([this.message(({ kind }) => kind === 'ready', BOOT_MS), ended]);
      if (this.closing) return;
      if (ready !== undefined && ready !== 'ended') break;
      if (Date.now() > until) return void this.log.problems.push(`worker ${this.index} did not boot`);
    }
    this.state = 'up';
  }

  /** Starts a run there. Returns its id, or undefined when that is not known to have happened. */
  async startRun(request: Omit<StartRequest, 'kind'>): Promise<string | undefined> {
    if (this.state !== 'up') return undefined;
    const answer = this.message((message) => 'id' in message && message.id === request.id, ANSWER_MS);
    this.ask({ kind: 'start', ...request });
    const message = await answer;
    return message?.kind === 'started' ? message.runId : undefined;
  }

  /** Notes how much it holds, if it answers. */
  async weigh(): Promise<void> {
    if (this.state !== 'up') return;
    const { pid } = this;
    const answer = this.message(({ kind }) => kind === 'memory', MEMORY_MS);
    this.ask({ kind: 'memory' });
    const message = await answer;
    if (message?.kind === 'memory' && pid === this.pid) this.heaps.push(message.heapUsed);
  }

  signal(signal: NodeJS.Signals): void {
    this.child?.kill(signal);
  }

  /** Ends the process with a signal, and waits until it has. */
  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    this.state = 'down';
    this.expected = true;
    this.signal(signal);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), END_MS)));
    if ((await Promise.race([this.exited, late])) === 'late') {
      this.log.problems.push(`worker ${this.index} did not end within ${END_MS} ms of ${signal}`);
      this.signal('SIGKILL');
      await this.exited;
    }
    clearTimeout(timer);
  }

  /** For good. */
  async close(): Promise<void> {
    this.closing = true;
    this.expected = true;
    this.signal('SIGKILL');
    await this.exited;
    await this.proxy?.stop();
  }

  private launch(): void {
    this.state = 'booting';
    this.expected = false;
    this.heaps = [];
    this.log.boots++;
    const child = fork(this.file, [], {
      execArgv: ['--expose-gc', '--enable-source-maps'],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...process.env, NODE_OPTIONS: undefined, [SETTINGS_VARIABLE]: JSON.stringify(this.settings) },
    });
    this.child = child;
    child.on('message', (message: WorkerMessage) => {
      for (const listener of this.listeners) listener(message);
    });
    // A message to a process that has just died.
    child.on('error', () => undefined);
    for (const stream of [child.stdout!, child.stderr!])
      createInterface({ input: stream }).on('line', (line) => this.log.note(`worker ${this.index}`, line));
    this.exited = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        const isBoot = this.state === 'booting';
        this.state = 'down';
        if (!this.expected && !isBoot) {
          this.log.problems.push(`worker ${this.index} ended by itself: ${code ?? signal}`);
          void this.start();
        }
        resolve(undefined);
      });
    });
  }

  private ask(request: WorkerRequest): void {
    this.child?.send(request, () => undefined);
  }

  /** The next message like this, or undefined when none comes in time. */
  private message(isWanted: (message: WorkerMessage) => boolean, patienceMs: number): Promise<WorkerMessage | undefined> {
    return new Promise((resolve) => {
      const settle = (message: WorkerMessage | undefined): void => {
        clearTimeout(timer);
        this.listeners.delete(listener);
        resolve(message);
      };
      const listener = (message: WorkerMessage): void => {
        if (isWanted(message)) settle(message);
      };
      const timer = setTimeout(() => settle(undefined), patienceMs).unref();
      this.listeners.add(listener);
    });
  }
}

/** Worker processes, some of them behind proxies. */
export class Fleet {
  readonly log = new FleetLog();
  readonly workers: ChaosWorker[] = [];

  private constructor() {}

  /**
   * Starts the workers. The first fifth of them lives as long as the chaos; every third is behind a
   * proxy.
   */
  static async start(count: number, url: string, file: string, workload: Workload): Promise<Fleet> {
    const fleet = new Fleet();
    for (let index = 0; index < count; index++) {
      const proxy = index % 3 === 1 ? await FaultProxy.start(url) : undefined;
      const settings = { url: proxy?.url ?? url, countUrl: url, workload };
      fleet.workers.push(new ChaosWorker(index, index < Math.ceil(count / 5), proxy, file, settings, fleet.log));
    }
    await Promise.all(fleet.workers.map((worker) => worker.start()));
    return fleet;
  }

  get size(): number {
    return this.workers.length;
  }

  /** The worker of that place, or the next one that is up and will do. */
  pick(index: number, isFit: (worker: ChaosWorker) => boolean = () => true): ChaosWorker | undefined {
    const inTurn = [...this.workers.slice(index), ...this.workers.slice(0, index)];
    return inTurn.find((worker) => worker.state === 'up' && isFit(worker));
  }

  async weigh(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.weigh()));
  }

  async allUp(): Promise<void> {
    await waitFor(() => this.workers.every(({ state }) => state === 'up'), { timeoutMs: BOOT_MS, message: 'all workers to be up' });
  }

  async close(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.close()));
  }
}
