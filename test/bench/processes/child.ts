import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** A process of its own; it ends itself when this one is gone. */
export interface Child {
  /** The next message that it sends. */
  message<T>(): Promise<T>;
  /** Sends a message, and returns the next one that the child sends. */
  ask<T>(message: string): Promise<T>;
  kill(): Promise<void>;
}

export interface ChildOptions {
  /** Environment variables beside those of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Options of Node. */
  readonly node?: readonly string[];
}

export function startChild(file: 'cold' | 'proxy' | 'victim', args: readonly string[], { env, node = [] }: ChildOptions = {}): Child {
  const child = fork(fileURLToPath(new URL(`./${file}.js`, import.meta.url)), [...args], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, ...env },
    execArgv: [...process.execArgv, ...node],
  });
  const ended = once(child, 'exit');
  const message = <T>(): Promise<T> => {
    const gone = ended.then(() => {
      throw new Error(`${file} ended before it answered`);
    });
    return Promise.race([once(child, 'message').then(([message]) => message as T), gone]);
  };
  return {
    message,
    ask<T>(text: string): Promise<T> {
      const answer = message<T>();
      child.send(text);
      return answer;
    },
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** In the child: ends this process with its parent. */
export function endWithParent(): void {
  process.on('disconnect', () => process.exit(1));
}

/** In the child: resolves when the parent asks. */
export async function untilAsked(): Promise<void> {
  await once(process, 'message');
}

/** In the child: tells the parent something. */
export function tellParent(message: unknown): void {
  process.send!(message);
}
