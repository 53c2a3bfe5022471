import { clearTimeout, setTimeout } from 'node:timers';
import { existsSync, statSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowConfigurationError } from '../core/errors/index.js';
import { askSupervisor, currentLock, type Lock } from './supervisor-client.js';
import { startSupervisor } from './supervisor-process.js';
import type { SupervisorSettings } from './supervisor-types.js';

/**
 * Milliseconds to wait for a server, longer than a crash recovery takes. Only a supervisor that
 * neither answers nor ends is waited for this long.
 */
const PATIENCE = 120_000;
/**
 * Milliseconds after which an unreadable lock file counts as left over by a supervisor that died
 * while it wrote the file.
 */
const HALF_WRITTEN = 2000;
/**
 * Number of wrong answers after which the process at the port counts as a stranger. A supervisor
 * that dies in the middle of a line looks like a stranger once; a stranger does so again.
 */
const STRANGERS = 5;
const STOP_PATIENCE = 30_000;

export type SupervisedDirectory = Omit<SupervisorSettings, 'lock' | 'resume'>;

function isAbandoned(directory: string, lock: Lock): boolean {
  const written = statSync(join(directory, `supervisor.${lock.number}`), { throwIfNoEntry: false });
  return written !== undefined && Date.now() - written.mtimeMs > HALF_WRITTEN;
}

interface Held {
  readonly url: string;
  readonly socket: Socket;
}

async function attach(directory: SupervisedDirectory, resume: boolean): Promise<Held> {
  const deadline = Date.now() + PATIENCE;
  let letGo: (() => void) | undefined;
  let strangers = 0;
  try {
    while (Date.now() < deadline) {
      const lock = currentLock(directory.directory);
      let vacant = lock === undefined;
      if (lock?.content) {
        const answer = await askSupervisor(lock.content);
        if (answer.kind === 'held') return answer;
        if (answer.kind === 'failed') throw new WorkflowConfigurationError(`The embedded PostgreSQL did not start: ${answer.message}`);
        strangers = answer.kind === 'stranger' ? strangers + 1 : 0;
        vacant = answer.kind === 'dead' || strangers >= STRANGERS;
      } else if (lock) {
        vacant = isAbandoned(directory.directory, lock);
      }
      if (vacant) {
        letGo?.();
        letGo = await startSupervisor({ ...directory, resume, lock: (lock?.number ?? 0) + 1 });
      } else {
        await sleep(10);
      }
    }
  } finally {
    letGo?.();
  }
  throw new WorkflowConfigurationError(`The embedded PostgreSQL of ${directory.directory} did not answer for ${PATIENCE / 1000} s`);
}

/**
 * Takes over a directory whose supervisor is dead, without using its server, so that the left-over
 * server is stopped and its files are removed.
 */
export async function releaseIfAbandoned(directory: SupervisedDirectory): Promise<void> {
  const lock = currentLock(directory.directory);
  if (lock?.content) {
    const answer = await askSupervisor(lock.content);
    if (answer.kind === 'held') answer.socket.destroy();
    if (answer.kind !== 'dead') return;
  } else if (lock && !isAbandoned(directory.directory, lock)) {
    return;
  }
  // The new supervisor ends when no application connects. An application that has lost its
  // supervisor does connect, and continues.
  const letGo = await startSupervisor({ ...directory, resume: true, lock: (lock?.number ?? 0) + 1 });
  letGo?.();
}

/** Share of this process in a server: an open connection to the server's supervisor. */
export class Hold {
  private released: Promise<void> | undefined;
  private reattached: Promise<void> | undefined;

  private constructor(
    private readonly directory: SupervisedDirectory,
    readonly url: string,
    private socket: Socket,
  ) {
    this.keep(socket);
  }

  static async take(directory: SupervisedDirectory): Promise<Hold> {
    const { url, socket } = await attach(directory, false);
    return new Hold(directory, url, socket);
  }

  /**
   * Releases the share. If it was the last one, the server has stopped when the promise settles.
   */
  release(): Promise<void> {
    return (this.released ??= this.sayGoodbye());
  }

  private async sayGoodbye(): Promise<void> {
    await this.reattached;
    const socket = this.socket;
    if (socket.destroyed) return;
    socket.ref();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => socket.destroy(), STOP_PATIENCE);
      socket.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
      socket.write('bye\n');
    });
  }

  private keep(socket: Socket): void {
    this.socket = socket;
    // A program that forgets to release still ends. The operating system then closes the
    // connection.
    socket.unref();
    socket.once('close', () => {
      if (!this.released) this.reattached = this.reattach();
    });
  }

  /**
   * Connects again after the supervisor was killed. The server still runs; a new supervisor takes
   * it over.
   */
  private async reattach(): Promise<void> {
    try {
      if (!existsSync(this.directory.directory)) throw new Error('its directory is gone');
      const { socket } = await attach(this.directory, true);
      this.keep(socket);
    } catch (error) {
      if (!this.released) process.emitWarning(`The embedded PostgreSQL has ended: ${(error as Error).message}`);
    }
  }
}
