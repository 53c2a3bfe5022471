import { fork, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';

import { waitFor } from '../../support/wait.js';
import { FleetLog } from '../fleet-log.js';
import type { StartRequest, WorkerMessage } from '../worker-messages.js';
import { APPLICATION_VARIABLE, type ApplicationSettings, type Listening } from './settings.js';

/** Milliseconds that a process may take to boot while many others boot. */
const BOOT_MS = 180_000;
const ANSWER_MS = 5_000;
const END_MS = 20_000;

/** Log of the application processes. */
export class ApplicationLog extends FleetLog {
  /** Processes that were killed by their own bodies. */
  readonly crashed = new Set<number>();
  /** Processes that lived on and were taken for dead. */
  readonly fenced = new Set<number>();
}

/** One place in the fleet: an application process, and the next one when that has crashed. */
class Application {
  /** The port on which the process listens; undefined while it does not. */
  port: number | undefined;
  private child: ChildProcess | undefined;
  private exited: Promise<unknown> = Promise.resolve();
  private readonly answers = new Map<string, (message: WorkerMessage) => void>();
  private state: 'living' | 'ending' | 'closed' = 'living';

  constructor(
    readonly index: number,
    private readonly file: string,
    private readonly settings: ApplicationSettings,
    private readonly log: ApplicationLog,
  ) {}

  launch(): void {
    this.log.boots++;
    const child = fork(this.file, [], {
      execArgv: ['--enable-source-maps'],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...process.env, NODE_OPTIONS: undefined, [APPLICATION_VARIABLE]: JSON.stringify(this.settings) },
    });
    this.child = child;
    child.on('message', (message: WorkerMessage | Listening) => {
      if (message.kind === 'listening') this.port = message.port;
      else if ('id' in message) this.answers.get(message.id)?.(message);
    });
    // A message to a process that has just died.
    child.on('error', () => undefined);
    for (const stream of [child.stdout!, child.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => {
        this.log.note(`application ${this.index}`, line);
        if (/took over the session/.test(line)) this.log.fenced.add(child.pid!);
      });
    }
    this.exited = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.port = undefined;
        this.ended(child.pid!, code ?? signal);
        resolve(undefined);
      });
    });
  }

  /** Starts a run there. Returns its id, or undefined when that is not known to have happened. */
  startRun(request: Omit<StartRequest, 'kind'>): Promise<string | undefined> {
    return new Promise((resolve) => {
      const settle = (runId: string | undefined): void => {
        clearTimeout(timer);
        this.answers.delete(request.id);
        resolve(runId);
      };
      const timer = setTimeout(() => settle(undefined), ANSWER_MS);
      this.answers.set(request.id, (message) => settle(message.kind === 'started' ? message.runId : undefined));
      this.child?.send({ kind: 'start', ...request }, () => undefined);
    });
  }

  /** By SIGTERM, and as it should. */
  async end(): Promise<void> {
    this.state = 'ending';
    this.child?.kill('SIGTERM');
    const timer = setTimeout(() => this.child?.kill('SIGKILL'), END_MS);
    await this.exited;
    clearTimeout(timer);
  }

  async close(): Promise<void> {
    this.state = 'closed';
    this.child?.kill('SIGKILL');
    await this.exited;
  }

  private ended(pid: number, how: number | string | null): void {
    if (this.state === 'closed') return;
    if (this.state === 'ending') {
      if (how !== 0) this.log.problems.push(`application ${this.index} received SIGTERM, and ended with ${how}`);
      return;
    }
    if (how === 'SIGKILL') this.log.crashed.add(pid);
    else this.log.problems.push(`application ${this.index} ended by itself: ${how}`);
    this.launch();
  }
}

/** Application processes that are started again when they crash. */
export class ApplicationFleet {
  readonly log = new ApplicationLog();
  private readonly applications: Application[];

  constructor(size: number, settings: ApplicationSettings, file: string) {
    this.applications = Array.from({ length: size }, (_, index) => new Application(index, file, settings, this.log));
  }

  get size(): number {
    return this.applications.length;
  }

  get ports(): number[] {
    return this.applications.flatMap(({ port }) => port ?? []);
  }

  async start(): Promise<void> {
    for (const application of this.applications) application.launch();
    await this.allUp();
  }

  pick(index: number): Application | undefined {
    const inTurn = [...this.applications.slice(index), ...this.applications.slice(0, index)];
    return inTurn.find(({ port }) => port !== undefined);
  }

  async allUp(): Promise<void> {
    await waitFor(() => this.ports.length === this.size, { timeoutMs: BOOT_MS, message: 'all applications to listen' });
  }

  async end(): Promise<void> {
    await Promise.all(this.applications.map((application) => application.end()));
  }

  async close(): Promise<void> {
    await Promise.all(this.applications.map((application) => application.close()));
  }
}
