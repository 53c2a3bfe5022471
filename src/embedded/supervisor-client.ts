import { clearTimeout, setTimeout } from 'node:timers';
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { LockContent, SupervisorMessage } from './supervisor-types.js';

/**
 * Milliseconds to wait for the first line from a supervisor. After that, the caller reads the lock
 * file again, and connects again.
 */
const HELLO_TIMEOUT_MS = 3000;
/**
 * Maximum number of bytes that the process at the port may send before it has proved that it is the
 * supervisor. The `hello` of a supervisor has fewer than 200 bytes.
 */
const MAX_HELLO_BYTES = 1000;

export interface Lock {
  readonly number: number;
  /**
   * Content of the lock file; undefined while the supervisor is writing the file. If the supervisor
   * died at that moment, the content stays undefined.
   */
  readonly content: LockContent | undefined;
}

/** Result of an attempt to connect to a supervisor. */
export type Answer =
  | { readonly kind: 'attached'; readonly url: string; readonly socket: Socket }
  | { readonly kind: 'failed'; readonly message: string }
  /** The supervisor has ended, is about to end, or does not answer: read the lock file again. */
  | { readonly kind: 'gone' }
  /**
   * The process at the port did not prove that it knows the lock's token. Another program may use
   * the port now.
   */
  | { readonly kind: 'stranger' }
  /**
   * The supervisor's process has ended, or nothing listens at its port. No answer will ever come.
   */
  | { readonly kind: 'dead' };

/** Returns the newest lock of a supervisor in this directory. That supervisor may be dead. */
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
 * Connects to the supervisor and asks for the server's URL. The open connection keeps the server
 * running.
 */
export function askSupervisor(lock: LockContent): Promise<Answer> {
  if (!isAlive(lock.pid)) return Promise.resolve({ kind: 'dead' });
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port: lock.port });
    let end: Answer = { kind: 'stranger' };
    const timer = setTimeout(() => {
      // The process accepted the connection but sends nothing: the system has stopped or delayed
      // the supervisor.
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
