import { clearTimeout, setTimeout } from 'node:timers';
import { existsSync, statSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowConfigurationError } from '../core/errors/index.js';
import { emitProcessWarning } from '../core/process-warning.js';
import { askSupervisor, currentLock, type Lock } from './supervisor-client.js';
import { startSupervisor } from './supervisor-process.js';
import type { SupervisorSettings } from './supervisor-types.js';

/**
 * Maximum number of milliseconds to wait for a server, longer than a crash recovery takes. The time
 * only runs out when a supervisor neither answers nor ends.
 */
const ATTACH_TIMEOUT_MS = 120_000;
/**
 * Milliseconds after which an unreadable lock file counts as abandoned: its supervisor died while
 * it wrote the file.
 */
const UNREADABLE_LOCK_MS = 2000;
/**
 * Number of wrong answers in a row after which the process at the port counts as another program. A
 * supervisor that dies in the middle of a line gives only one wrong answer.
 */
const MAX_STRANGER_ANSWERS = 5;
const STOP_TIMEOUT_MS = 30_000;

export type SupervisedDirectory = Omit<SupervisorSettings, 'lock' | 'resume'>;

function isAbandoned(directory: string, lock: Lock): boolean {
  const stats = statSync(join(directory, `supervisor.${lock.number}`), { throwIfNoEntry: false });
  return stats !== undefined && Date.now() - stats.mtimeMs > UNREADABLE_LOCK_MS;
}

interface Attachment {
  readonly url: string;
  readonly socket: Socket;
}

async function attach(directory: SupervisedDirectory, resume: boolean): Promise<Attachment> {
  const deadline = Date.now() + ATTACH_TIMEOUT_MS;
  let detachSupervisor: (() => void) | undefined;
  let strangerAnswers = 0;
  try {
    while (Date.now() < deadline) {
      const lock = currentLock(directory.directory);
      let isVacant = lock === undefined;
      if (lock?.content) {
        const answer = await askSupervisor(lock.content);
        if (answer.kind === 'attached') return answer;
        if (answer.kind === 'failed') throw new WorkflowConfigurationError(`The embedded PostgreSQL did not start: ${answer.message}`);
        strangerAnswers = answer.kind === 'stranger' ? strangerAnswers + 1 : 0;
        isVacant = answer.kind === 'dead' || strangerAnswers >= MAX_STRANGER_ANSWERS;
      } else if (lock) {
        isVacant = isAbandoned(directory.directory, lock);
      }
      if (isVacant) {
        detachSupervisor?.();
        detachSupervisor = await startSupervisor({ ...directory, resume, lock: (lock?.number ?? 0) + 1 });
      } else {
        await sleep(10);
      }
    }
  } finally {
    detachSupervisor?.();
  }
  throw new WorkflowConfigurationError(
    `The embedded PostgreSQL of ${directory.directory} did not answer for ${ATTACH_TIMEOUT_MS / 1000} s`,
  );
}

/**
 * Cleans up a directory whose supervisor is dead. Starts a new supervisor, which stops the old
 * server and removes the directory if it is temporary.
 */
export async function releaseIfAbandoned(directory: SupervisedDirectory): Promise<void> {
  const lock = currentLock(directory.directory);
  if (lock?.content) {
    const answer = await askSupervisor(lock.content);
    if (answer.kind === 'attached') answer.socket.destroy();
    if (answer.kind !== 'dead') return;
  } else if (lock && !isAbandoned(directory.directory, lock)) {
    return;
  }
  // Without a connection, the new supervisor soon ends and cleans up. An application that has lost
  // the old supervisor connects to the new one and keeps the server running.
  const detachSupervisor = await startSupervisor({ ...directory, resume: true, lock: (lock?.number ?? 0) + 1 });
  detachSupervisor?.();
}

/** One process's use of a server: an open connection to the server's supervisor. */
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
   * Ends the use of the server. If this was the last use, the server has stopped when the promise
   * resolves.
   */
  release(): Promise<void> {
    return (this.released ??= this.disconnect());
  }

  private async disconnect(): Promise<void> {
    await this.reattached;
    const socket = this.socket;
    if (socket.destroyed) return;
    socket.ref();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => socket.destroy(), STOP_TIMEOUT_MS);
      socket.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
      socket.write('bye\n');
    });
  }

  private keep(socket: Socket): void {
    this.socket = socket;
    // Do not let the connection keep the process alive: a program that forgets to release the
    // server must still be able to end. The operating system then closes the connection.
    socket.unref();
    socket.once('close', () => {
      if (!this.released) this.reattached = this.reattach();
    });
  }

  /**
   * Connects again after the supervisor was killed. The server is still running, and a new
   * supervisor takes it over.
   */
  private async reattach(): Promise<void> {
    try {
      if (!existsSync(this.directory.directory)) throw new Error('its directory is gone');
      const { socket } = await attach(this.directory, true);
      this.keep(socket);
    } catch (error) {
      if (!this.released) emitProcessWarning('embedded-ended', `The embedded PostgreSQL has ended: ${(error as Error).message}`);
    }
  }
}
