import { fork, type ChildProcess } from 'node:child_process';

import type { BodyEvent } from './outside-world.js';

/** A child process that executes worker.ts. */
export class WorkerProcess {
  private readonly child: ChildProcess;
  private readonly gone: Promise<void>;
  /** Resolves when the process claims runs. */
  readonly ready: Promise<void>;
  /** Rejects when the process ends before `end` was called. */
  readonly died: Promise<never>;
  private ending = false;

  constructor(
    readonly name: string,
    url: string,
    onEvent: (event: BodyEvent) => void,
  ) {
    const child = fork(new URL('./worker.js', import.meta.url), { env: { ...process.env, DATABASE_URL: url } });
    this.child = child;
    this.ready = new Promise((resolve) => {
      child.on('message', (message) => (message === 'ready' ? resolve() : onEvent(message as BodyEvent)));
    });
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    const drained = new Promise<void>((resolve) => child.once('disconnect', resolve));
    this.gone = Promise.all([exited, drained]).then(() => undefined);
    this.died = new Promise((_, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => this.ending || reject(new Error(`worker ${name} ended by itself: ${signal ?? `exit ${code}`}`)));
    });
    this.died.catch(() => undefined);
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  /** Ends the process. Resolves when the process has ended and all its messages have arrived. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    this.ending = true;
    this.child.kill(signal);
    await this.gone;
  }
}
