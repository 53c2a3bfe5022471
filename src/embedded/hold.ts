import { clearTimeout, setTimeout } from 'node:timers';
import { existsSync, statSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowConfigurationError } from '../core/errors/index.js';
import { askSupervisor, currentLock, type Lock } from './supervisor-client.js';
import { startSupervisor } from './supervisor-process.js';
import type { SupervisorSettings } from './supervisor-types.js';

/** Longer than a crash recovery takes; only a supervisor that neither answers nor ends is ever waited for so long. */
const PATIENCE = 120_000;
/** A lock file that is still unreadable after this long was left by a supervisor that died writing it. */
const HALF_WRITTEN = 2000;
/** A supervisor that dies in the middle of a word looks like a stranger once; a stranger does so again. */
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

/** Takes a directory over, for nobody, if its supervisor is dead: so what was left behind is stopped and removed. */
export async function releaseIfAbandoned(directory: SupervisedDirectory): Promise<void> {
  const lock = currentLock(directory.directory);
  if (lock?.content) {
    const answer = await askSupervisor(lock.content);
    if (answer.kind === 'held') answer.socket.destroy();
    if (answer.kind !== 'dead') return;
  } else if (lock && !isAbandoned(directory.directory, lock)) {
    return;
  }
  // It ends when nobody comes. An application that has lost its supervisor does come, and goes on.
  const letGo = await startSupervisor({ ...directory, resume: true, lock: (lock?.number ?? 0) + 1 });
  letGo?.();
}

/** This process's share in a server: an open connection to its supervisor. */
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

  /** Lets go. When this was the last hold, the server has stopped when this settles. */
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
    // A program that forgets to let go still ends; the operating system then lets go for it.
    socket.unref();
    socket.once('close', () => {
      if (!this.released) this.reattached = this.reattach();
    });
  }

  /** Somebody killed the supervisor. The server still runs; a new supervisor takes it over. */
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
