import { clearTimeout, setTimeout } from 'node:timers';
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { LockContent, SupervisorMessage } from './supervisor-types.js';

/**
 * Milliseconds that a supervisor may take for its first line. After that, the process with its
 * number counts as another program.
 */
const HELLO_TIMEOUT_MS = 3000;
/** Maximum number of bytes before the proof. A supervisor's `hello` has fewer than 200. */
const MAX_HELLO_BYTES = 1000;

export interface Lock {
  readonly number: number;
  /**
   * Content of the lock file. Undefined while the supervisor writes it, and for ever when the
   * supervisor died doing so.
   */
  readonly content: LockContent | undefined;
}

/** Result of a connection to a supervisor. */
export type Answer =
  | { readonly kind: 'attached'; readonly url: string; readonly socket: Socket }
  | { readonly kind: 'failed'; readonly message: string }
  /** The supervisor has ended, or is about to: read the lock again. */
  | { readonly kind: 'gone' }
  /**
   * The process did not prove that it knows the lock's token: another program may use the port by
   * now.
   */
  | { readonly kind: 'stranger' }
  /** No process is there, and none will come. */
  | { readonly kind: 'dead' };

/** Returns the lock of the supervisor that owns, or last owned, this directory. */
export function currentLock(directory: string): Lock | undefined {
  const numbers = readdirSync(directory).flatMap((entry) => /^supervisor\.(\d+)$/.exec(entry)?.[1] ?? []);
  if (numbers.length === 0) return undefined;
  const number = Math.max(...numbers.map(Number));
  try {
    return { number, content: JSON.parse(readFileSync(join(directory, `supervisor.${number}`), 'utf8')) as LockContent };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES') throw error;
    return { number, content: undefined };
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * Connects to the supervisor for the server's address. The connection stays open and keeps the
 * server running.
 */
export function askSupervisor(lock: LockContent): Promise<Answer> {
  if (!isAlive(lock.pid)) return Promise.resolve({ kind: 'dead' });
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port: lock.port });
    let end: Answer = { kind: 'stranger' };
    const timer = setTimeout(() => {
      // Silent but alive: the system has stopped or delayed the supervisor.
      end = { kind: 'gone' };
      socket.destroy();
    }, HELLO_TIMEOUT_MS);
    const lines = createInterface({ input: socket });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') end = { kind: 'dead' };
    });
    socket.once('close', () => {
      clearTimeout(timer);
      resolve(end);
    });
    const nonce = randomBytes(24).toString('hex');
    let isProven = false;
    socket.once('connect', () => socket.write(`${nonce}\n`));
    lines.on('error', () => undefined);
    socket.on('data', () => {
      if (!isProven && socket.bytesRead > MAX_HELLO_BYTES) socket.destroy();
    });
    lines.on('line', (line) => {
      clearTimeout(timer);
      const message = parseMessage(line);
      if (!isProven) {
        const nonces = message?.state === 'hello' ? `${nonce} ${message.nonce}` : undefined;
        if (message?.state !== 'hello' || nonces === undefined || !isSame(message.proof, proof(lock, 'supervisor', nonces))) {
          socket.destroy();
          return;
        }
        isProven = true;
        end = { kind: 'gone' };
        socket.write(`${proof(lock, 'application', nonces)}\n`);
        return;
      }
      if (message?.state === 'failed') end = { kind: 'failed', message: message.message };
      else if (message?.state === 'ready') resolve({ kind: 'attached', url: message.url, socket });
    });
  });
}

function proof({ token, port }: LockContent, role: 'supervisor' | 'application', nonces: string): string {
  return createHmac('sha256', token).update(`${role} ${port} ${nonces}`).digest('hex');
}

function isSame(given: unknown, expected: string): boolean {
  const bytes = Buffer.from(String(given));
  return bytes.length === expected.length && timingSafeEqual(bytes, Buffer.from(expected));
}

function parseMessage(line: string): SupervisorMessage | undefined {
  try {
    return JSON.parse(line) as SupervisorMessage;
  } catch {
    return undefined;
  }
}
